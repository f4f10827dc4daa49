"""Messages to customers: one for each change and channel, in their words, when they are awake."""

import pytest
from django.test import override_settings

from kaspi_delivery_django import tracking
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import reissue_delivery, request_return
from kaspi_delivery_django.services.deliveries import notifications
from tests.messages.conftest import rows

NOW = ("16:00", "08:00")  # it is 17:00 in Almaty
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_customer_gets_one_message_over_each_channel(news, mails, bot, booked):
    """E-mail and Telegram, with what the tracking page says, and its link."""
    news("in_transit")
    [mail] = mails()
    link = f"https://shop.kz{tracking.tracking_path(booked)}"
    assert (mail["To"], mail["From"]) == ("aigerim@example.kz", "shop@example.kz")
    assert mail["Subject"] == f"Delivery of order {booked.object_id}: In transit"
    assert mail.get_content().splitlines()[:2] == [mail["Subject"], "The courier has your parcel."]
    assert mail.get_content().rstrip().endswith(link)
    assert [one["chat_id"] for one in bot.sent] == ["742"]
    assert bot.texts == [mail.get_content().rstrip()]
    assert {row.state for row in rows()} == {"sent"}
    assert {row.recipient for row in rows()} == {"aigerim@example.kz", "742"}


def test_a_repeated_signal_sends_nothing(news, drain, bot):
    """Another receiver of the shop failed, so all are called again."""
    news("in_transit")
    assert notifications.notify(StatusChange.objects.get(to_status="in_transit"))
    drain()
    assert (len(bot.sent), len(rows())) == (1, 2)


def test_a_booking_is_no_news(drain, shop):
    """The shop has confirmed the order itself."""
    drain()
    assert rows() == []


def test_late_news_are_no_news(news, bot):
    """They are kept in the history, and not applied."""
    news("out_for_delivery")
    news("in_transit")
    assert len(bot.sent) == 1


def test_of_several_changes_only_the_latest_is_sent(news, move, bot):
    """The others have been overtaken before they were sent."""
    move("accepted")
    news("in_transit")
    assert len(bot.sent) == 1
    assert "In transit" in bot.texts[0]
    assert {row.error for row in rows(state="skipped")} == {"a later message replaces it"}


def test_the_night_is_quiet(news, configure, drain, bot, turnable):
    """What comes after ten waits until eight by the shop's clock, and then only the latest is sent."""
    configure(QUIET_HOURS=("22:00", "08:00"))
    turnable.now = turnable.now.replace(hour=16, minute=59)  # 21:59 in Almaty
    news("accepted")
    assert len(bot.sent) == 1
    turnable.turn(minutes=1)
    news("in_transit")
    turnable.turn(hours=4)
    news("out_for_delivery")
    turnable.turn(hours=5, minutes=55)
    drain()
    assert len(bot.sent) == 1
    turnable.turn(minutes=5)
    drain()
    assert len(bot.sent) == 2
    assert "The courier is on the way to you" in bot.texts[1]


@pytest.mark.parametrize(
    ("language", "label"),
    [("ru", "В пути"), ("kk", "Жолда"), ("en", "In transit"), ("", "In transit"), ("tlh", "In transit")],  # noqa: RUF001  # Cyrillic is meant
)
def test_the_adapter_names_the_language(news, shop, mails, bot, language, label):
    """An unknown one is the project's, as none is."""
    shop(language=language)
    news("in_transit")
    assert label in mails()[0]["Subject"]
    assert label in bot.texts[0]


def test_the_time_is_the_projects(news, bot, turnable):
    """The worker may have started in any zone, and the language is not the project's."""
    Delivery.objects.update(delivery_by=turnable.now.replace(hour=14, minute=30))
    news("in_transit")
    assert "Expected by: 1 March, 19:30" in bot.texts[0]


@pytest.mark.parametrize("recipient", [None, "", "  "])
def test_a_customer_may_want_none(news, shop, mails, bot, recipient):
    """Then there is nothing to show either."""
    shop(recipients={"telegram": recipient})
    news("in_transit")
    assert (mails(), bot.sent, rows()) == ([], [], [])


def test_without_the_method_no_row_is_written(news, settings):
    """A shop that has no recipients has no cost."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": ["tests.shop.adapters.OrderAdapter"]}
    news("in_transit")
    assert rows() == []


@pytest.mark.parametrize("answer", ["aigerim@example.kz", {"telegram": ["742"]}, {"telegram": "7" * 255}])
def test_an_adapter_that_answers_nonsense_is_asked_again(news, shop, drain, bot, turnable, answer):
    """Staff read what it should return, and the message is sent when it does."""
    shop(recipients=answer)
    news("in_transit")
    [row] = rows(channel="telegram")
    assert (row.state, row.error[:31]) == ("waiting", "customer_recipients must return")
    shop(recipients={"telegram": "742"})
    turnable.turn(minutes=1)
    drain()
    assert len(bot.sent) == 1


def test_an_adapter_that_raises_stops_no_other_receiver(news, shop):
    """The change counts as notified; the error has no customer's data."""

    def fail(_self, _order):
        raise ValueError("aigerim@example.kz")

    shop(customer_recipients=fail)
    news("in_transit")
    assert StatusChange.objects.get(to_status="in_transit").notified_at
    assert {row.state for row in rows()} == {"waiting"}
    assert not any("aigerim" in row.error for row in rows())


def test_news_from_long_ago_are_no_news(news, turnable, bot):
    """As those of an order that was booked before the app was installed."""
    at = turnable.now.replace(month=2, day=20)
    news("delivered", at=at)
    assert StatusChange.objects.filter(to_status="delivered", applied=True).exists()
    assert bot.sent == []


def test_a_cancel_before_the_booking_is_no_news(due, drain, bot, shop):
    """The customer never got to know of a delivery."""
    order = due.delivery.order
    order.cancelled = True
    order.save()
    drain()
    assert Delivery.objects.get().status == "cancelled"
    assert bot.sent == []


def test_a_rebooked_order_is_not_reported_as_cancelled(news, configure, drain, bot, booked):
    """What is over by the morning is no news then."""
    configure(QUIET_HOURS=NOW)
    news("cancelled")
    reissue_delivery(Delivery.objects.get(pk=booked.pk))
    drain()
    configure()
    drain()
    assert bot.sent == []
    assert {row.error for row in rows()} == {"the order was booked again"}


def test_a_deleted_order_has_no_customer(news, configure, drain, bot, booked):
    """Its messages are skipped, not tried for days."""
    configure(QUIET_HOURS=NOW)
    news("in_transit")
    booked.order.delete()
    configure()
    drain()
    assert {row.error for row in rows()} == {"the order was deleted"}
    assert bot.sent == []


def templates(folder, **texts):
    """Write templates of a shop, and return the setting that has them before those of apps."""
    place = folder / "kaspi_delivery" / "messages"
    place.mkdir(parents=True)
    for name, text in texts.items():
        (place / name.replace("__", ".")).write_text(text)
    own = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [folder], "APP_DIRS": True}
    return override_settings(TEMPLATES=[own])


def test_a_shop_has_its_own_words(news, mails, bot, tmp_path_factory):
    """For a status, for a channel, for the subject, and with an HTML text; the rest stays."""
    own = {
        "in_transit__txt": "{% autoescape off %}On & on: {{ order.address }}{% endautoescape %}",
        "in_transit_telegram__txt": "Short",
        "in_transit_subject__txt": "{{ label }}\n of {{ delivery.external_order_id }}",
        "message__html": "<p>{{ explanation }}</p>",
    }
    with templates(tmp_path_factory.mktemp("templates"), **own):
        news("in_transit")
        news("delivered")
    first, second = mails()
    assert first.get_body(("plain",)).get_content().strip() == "On & on: Abay 1, Almaty"
    assert first.get_body(("html",)).get_content().strip() == "<p>The courier has your parcel.</p>"
    assert first["Subject"].startswith("In transit of order-")
    assert second["Subject"].endswith("Delivered")
    assert (bot.texts[0], "Your parcel has arrived." in bot.texts[1]) == ("Short", True)


def test_a_shop_chooses_the_statuses(news, configure, bot):
    """Only those of STATUSES are news."""
    configure(STATUSES=["delivered"])
    news("in_transit")
    news("delivered")
    assert [text.splitlines()[0][-9:] for text in bot.texts] == ["Delivered"]


def test_a_channel_that_is_gone_from_the_settings_fails(news, configure, drain):
    """Its rows do not wait for ever."""
    configure(QUIET_HOURS=NOW)
    news("in_transit")
    configure(CHANNELS={})
    drain()
    assert {(row.state, row.error) for row in rows(channel="email")} == {("failed", "MESSAGES has no channel 'email'")}


@pytest.mark.parametrize(
    ("label", "headline"),
    [
        ("742", "Delivery of order 742: Delivered"),
        ("Order KZ-742", "Order KZ-742: Delivered"),
        ("Order object ({key})", "Delivery of order {key}: Delivered"),  # Django's own, for developers
        ("", "Delivered"),
    ],
)
def test_the_order_is_named_as_the_shop_names_it(news, bot, booked, label, headline):
    """By its `order_label`; without one by its status alone."""
    Delivery.objects.update(order_label=label.format(key=booked.object_id))
    news("delivered")
    assert bot.texts[0].splitlines()[0] == headline.format(key=booked.object_id)


def test_a_return_is_no_delivery(news, drain, bot, booked):
    """The courier comes to fetch the parcel; when it is delivered, the shop has it."""
    news("delivered")
    back = request_return(booked)
    drain()
    back.refresh_from_db()
    for status in ("accepted", "delivered"):
        news(status, delivery=back)
    told = [text.splitlines()[:2] for text in bot.texts[1:]]
    order = booked.order_label
    assert told == [
        [f"{order}: Return: The courier is on the way to you", "Please have the parcel ready."],
        [f"{order}: Return: Back at the shop", "The shop has received your parcel."],
    ]
    assert "Expected by" not in bot.texts[1]


def test_a_name_that_may_be_personal_is_left_out(news, bot, booked):
    """It may be the name of another: a message can be read by whoever holds the phone."""
    Delivery.objects.update(order_label="Aigerim, 742", label_is_personal=True)
    news("delivered")
    assert bot.texts[0].splitlines()[0] == "Delivered"
