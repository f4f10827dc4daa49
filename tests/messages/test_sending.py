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


def test_a_customer_gets_one_message_over_each_channel(report, mails, bot, booked):
    """E-mail and Telegram, with what the tracking page says, and its link."""
    report("in_transit")
    [mail] = mails()
    assert (mail["To"], mail["From"]) == ("aigerim@example.kz", "shop@example.kz")
    assert mail["Subject"] == f"Delivery of order {booked.object_id}: In transit"
    text = mail.get_content().rstrip()
    assert text.splitlines()[:2] == [mail["Subject"], "The courier has your parcel."]
    assert text.endswith(f"https://shop.kz{tracking.tracking_path(booked)}")
    assert [(one["chat_id"], one["text"]) for one in bot.sent] == [("742", text)]
    assert {(row.state, row.recipient) for row in rows()} == {("sent", "aigerim@example.kz"), ("sent", "742")}


def test_a_repeated_signal_sends_nothing(report, drain, bot):
    """Another receiver of the shop failed, so all are called again."""
    report("in_transit")  # the booking is not reported: the shop has confirmed the order itself
    assert notifications.notify(StatusChange.objects.get(to_status="in_transit"))
    drain()
    assert (len(bot.sent), len(rows())) == (1, 2)


def test_only_the_latest_of_several_changes_is_sent(report, move, bot):
    """The others have been overtaken before they were sent; one that comes too late is not even applied."""
    move("accepted")
    report("in_transit")
    report("accepted")
    assert [text.splitlines()[0][-10:] for text in bot.texts] == ["In transit"]
    assert {row.error for row in rows(state="skipped")} == {"a later message replaces it"}


def test_the_night_is_quiet(report, set_messages, drain, bot, fake_clock):
    """What comes after ten waits until eight by the shop's clock, and then only the latest is sent."""
    set_messages(QUIET_HOURS=("22:00", "08:00"))
    fake_clock.now = fake_clock.now.replace(hour=16, minute=59)  # 21:59 in Almaty
    report("accepted")
    assert len(bot.sent) == 1
    fake_clock.advance(minutes=1)
    report("in_transit")
    fake_clock.advance(hours=4)
    report("out_for_delivery")
    fake_clock.advance(hours=5, minutes=55)
    drain()
    assert len(bot.sent) == 1
    fake_clock.advance(minutes=5)
    drain()
    assert len(bot.sent) == 2
    assert "The courier is on the way to you" in bot.texts[1]


@pytest.mark.parametrize(
    ("language", "label"),
    [("ru", "В пути"), ("kk", "Жолда"), ("en", "In transit"), ("", "In transit"), ("tlh", "In transit")],  # noqa: RUF001  # Cyrillic is meant
)
def test_the_adapter_names_the_language(report, shop, mails, bot, language, label):
    """An unknown one is the project's, as none is."""
    shop(language=language)
    report("in_transit")
    assert label in mails()[0]["Subject"]
    assert label in bot.texts[0]


def test_the_time_is_the_projects(report, bot, fake_clock):
    """The worker may have started in any zone."""
    Delivery.objects.update(delivery_by=fake_clock.now.replace(hour=14, minute=30))
    report("in_transit")
    assert "Expected by: 1 March, 19:30" in bot.texts[0]


@pytest.mark.parametrize("recipient", [None, "  "])
def test_a_customer_may_want_none(report, shop, mails, bot, recipient):
    """Then there is nothing to show either."""
    shop(recipients={"telegram": recipient})
    report("in_transit")
    assert (mails(), bot.sent, rows()) == ([], [], [])


def test_without_the_method_no_row_is_written(report, settings):
    """A shop that has no recipients has no cost."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": ["tests.shop.adapters.OrderAdapter"]}
    report("in_transit")
    assert rows() == []


@pytest.mark.parametrize("answer", ["aigerim@example.kz", {"telegram": ["742"]}, {"telegram": "7" * 255}])
def test_an_adapter_that_answers_nonsense_is_asked_again(report, shop, drain, bot, fake_clock, answer):
    """Staff read what it should return, and the message is sent when it does."""
    shop(recipients=answer)
    report("in_transit")
    [row] = rows(channel="telegram")
    assert (row.state, row.error[:31]) == ("waiting", "customer_recipients must return")
    shop(recipients={"telegram": "742"})
    fake_clock.advance(minutes=1)
    drain()
    assert len(bot.sent) == 1


def test_an_adapter_that_raises_stops_no_other_receiver(report, shop):
    """The change counts as notified; the error has no customer's data."""

    def fail(_self, _order):
        raise ValueError("aigerim@example.kz")

    shop(customer_recipients=fail)
    report("in_transit")
    assert StatusChange.objects.get(to_status="in_transit").notified_at
    assert {(row.state, "aigerim" in row.error) for row in rows()} == {("waiting", False)}


def test_a_change_from_long_ago_is_not_reported(report, fake_clock, bot):
    """As those of an order that was booked before the app was installed."""
    report("delivered", at=fake_clock.now.replace(month=2, day=20))
    assert StatusChange.objects.filter(to_status="delivered", applied=True).exists()
    assert bot.sent == []


def test_a_cancel_before_the_booking_is_not_reported(due, drain, bot, shop):
    """The customer never got to know of a delivery."""
    order = due.delivery.order
    order.cancelled = True
    order.save()
    drain()
    assert Delivery.objects.get().status == "cancelled"
    assert bot.sent == []


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (reissue_delivery, "the order was booked again"),
        (lambda delivery: delivery.order.delete(), "the order was deleted"),
    ],
)
def test_what_is_over_by_the_morning_is_skipped(report, set_messages, drain, booked, act, reason):
    """A cancel after a rebooking, and any change of an order that is gone: they are not tried for days."""
    set_messages(QUIET_HOURS=NOW)
    report("cancelled")
    act(Delivery.objects.get(pk=booked.pk))
    set_messages()
    drain()
    assert {(row.state, row.error) for row in rows()} == {("skipped", reason)}


def templates(folder, **texts):
    """Write templates of a shop, and return the setting that has them before those of apps."""
    place = folder / "kaspi_delivery" / "messages"
    place.mkdir(parents=True)
    for name, text in texts.items():
        (place / name.replace("__", ".")).write_text(text)
    own = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [folder], "APP_DIRS": True}
    return override_settings(TEMPLATES=[own])


def test_a_shop_has_its_own_words(report, mails, bot, tmp_path_factory):
    """For a status, for a channel, for the subject, and with an HTML text; the rest stays."""
    own = {
        "in_transit__txt": "{% autoescape off %}On & on: {{ order.address }}{% endautoescape %}",
        "in_transit_telegram__txt": "Short",
        "in_transit_subject__txt": "{{ label }}\n of {{ delivery.external_order_id }}",
        "message__html": "<p>{{ explanation }}</p>",
    }
    with templates(tmp_path_factory.mktemp("templates"), **own):
        report("in_transit")
        report("delivered")
    first, second = mails()
    assert first.get_body(("plain",)).get_content().strip() == "On & on: Abay 1, Almaty"
    assert first.get_body(("html",)).get_content().strip() == "<p>The courier has your parcel.</p>"
    assert first["Subject"].startswith("In transit of order-")
    assert second["Subject"].endswith("Delivered")
    assert (bot.texts[0], "Your parcel has arrived." in bot.texts[1]) == ("Short", True)


def test_a_shop_chooses_the_statuses(report, set_messages, bot):
    """Only those of STATUSES are reported."""
    set_messages(STATUSES=["delivered"])
    report("in_transit")
    report("delivered")
    assert [text.splitlines()[0][-9:] for text in bot.texts] == ["Delivered"]


def test_a_channel_that_is_gone_from_the_settings_fails(report, set_messages, drain):
    """Its rows do not wait for ever."""
    set_messages(QUIET_HOURS=NOW)
    report("in_transit")
    set_messages(CHANNELS={})
    drain()
    assert {(row.state, row.error) for row in rows(channel="email")} == {("failed", "MESSAGES has no channel 'email'")}


@pytest.mark.parametrize(
    ("label", "is_personal", "headline"),
    [
        ("742", False, "Delivery of order 742: Delivered"),
        ("Order KZ-742", False, "Order KZ-742: Delivered"),
        ("Order object ({key})", False, "Delivery of order {key}: Delivered"),  # Django's own, for developers
        ("", False, "Delivered"),
        ("Aigerim, 742", True, "Delivered"),  # the name may be another's than the reader's
    ],
)
def test_the_order_is_named_as_the_shop_names_it(report, bot, booked, label, is_personal, headline):
    """By its `order_label`; without one by its status alone."""
    Delivery.objects.update(order_label=label.format(key=booked.object_id), label_is_personal=is_personal)
    report("delivered")
    assert bot.texts[0].splitlines()[0] == headline.format(key=booked.object_id)


@pytest.mark.parametrize(
    ("label", "headline"),
    [
        ("742", "Delivery of order 742 (almaty): Delivered"),
        ("Order 742", "Order 742 (almaty): Delivered"),
        ("", "almaty: Delivered"),
    ],
)
def test_the_parcel_is_named_where_the_order_has_several(report, bot, booked, label, headline):
    """By its key; one parcel alone needs no name."""
    Delivery.objects.update(order_label=label, parcel="almaty")
    report("in_transit")
    other = Delivery.objects.get()
    other.pk, other.parcel, other.delivery_id, other.external_order_id = None, "shymkent", "dlv_2", "order-2"
    other.save(force_insert=True)
    report("delivered")
    assert "almaty" not in bot.texts[0]
    assert bot.texts[1].splitlines()[0] == headline


def test_a_return_is_no_delivery(report, drain, bot, booked):
    """The courier comes to fetch the parcel; when it is delivered, the shop has it."""
    report("delivered")
    back = request_return(booked)
    drain()
    back.refresh_from_db()
    for status in ("accepted", "delivered"):
        report(status, delivery=back)
    order = booked.order_label
    assert [text.splitlines()[:2] for text in bot.texts[1:]] == [
        [f"{order}: Return: The courier is on the way to you", "Please have the parcel ready."],
        [f"{order}: Return: Back at the shop", "The shop has received your parcel."],
    ]
    assert "Expected by" not in bot.texts[1]
