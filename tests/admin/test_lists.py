"""The lists: what they cost, what they find, and what they say when they leave rows out."""

from datetime import timedelta

import pytest
from django.contrib.admin import AdminSite
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.admin import display, readonly
from kaspi_delivery_django.admin.deliveries import DeliveryAdmin
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, PendingAction, WebhookEvent, search
from tests.admin.conftest import FOLDER, LIST, TABLES, VIEWS, found
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS, CALLS = f"{FOLDER}/webhookevent/", f"{FOLDER}/apicall/"


@pytest.fixture
def busy(several, deliver_webhooks, fake_clock):
    """Fill each table with several rows."""
    deliver_webhooks()
    for call in ApiCall.objects.select_related("delivery"):
        FailedAttempt.objects.create(call=call, kind=call.kind, at=fake_clock.now, error="no answer")
        PendingAction.objects.create(name="refresh", delivery=call.delivery, created_at=fake_clock.now)
    Delivery.objects.update(delivery_by=fake_clock.now - timedelta(hours=1), attention="too_old")


def name_order(delivery, label, *, name="Айгерим Сапарова", address="Алматы, Абая 1", **columns):
    """Give a delivery the columns that a booking of such an order writes."""
    number = columns.get("external_order_id", delivery.external_order_id)
    keys = {"label_key": search.number_key(label), "external_key": search.number_key(number)}
    people = {"name_key": search.words_key(name), "surname_key": search.second_words_key(name)}
    Delivery.objects.filter(pk=delivery.pk).update(
        order_label=label, dropoff_name=name, city_key=search.city_key(address), **keys, **people, **columns
    )


@pytest.fixture
def numbered(busy):
    """Return a delivery whose order has a number of its own, beside one that begins as it does."""
    wanted, longer = Delivery.objects.order_by("pk")[1:3]
    name_order(wanted, "Заказ №2026-00006", external_order_id="Shop-0A7", label_is_personal=False)
    name_order(longer, "Заказ №2026-000061", external_order_id="Shop-0A71", label_is_personal=False)
    return wanted


# What they cost


def test_a_list_costs_the_same_for_many_rows_as_for_one(staff, busy):
    """Twelve queries at most, none for each row; every count has its limit, and no table is sorted or counted whole."""
    client = staff(*VIEWS, "view_order")
    for table in reversed(TABLES):  # deliveries last: their rows cascade
        url = f"{FOLDER}/{table}/"
        client.get(url)
        with CaptureQueriesContext(connection) as several:
            shown = found(client, url)
        type(shown[0]).objects.exclude(pk=shown[0].pk).delete()
        with CaptureQueriesContext(connection) as one:
            assert len(found(client, url)) == 1
        assert len(several) == len(one) <= 12, table
        ours = [query["sql"] for query in several if "kaspi_delivery_" in query["sql"]]
        assert ours
        assert not [sql for sql in ours if "DISTINCT" in sql]
        assert all(f"LIMIT {readonly.MAX_COUNT + 1}" in sql for sql in ours if "COUNT(" in sql)


def test_the_primary_key_is_the_only_order(staff, busy):
    """Also when the address asks for another."""
    ApiCall.objects.filter(pk=ApiCall.objects.order_by("pk")[2].pk).update(attempts=9)
    for query in ({}, {"o": "3"}, {"o": "-2.1"}):
        shown = [call.pk for call in found(staff("view_apicall"), CALLS, **query)]
        assert shown == sorted(shown, reverse=True)


def test_a_long_list_says_what_it_leaves_out(staff, several, monkeypatch):
    """It pages through the newest rows only; a page that is not there is refused."""
    monkeypatch.setattr(readonly, "MAX_COUNT", 3)
    page = staff().get(LIST)
    assert page.context["cl"].result_count == 3
    assert "There are more than 3 rows" in page.content.decode()
    monkeypatch.setattr(readonly, "MAX_COUNT", 5)
    assert "There are more than" not in staff().get(LIST).content.decode()
    monkeypatch.setattr(DeliveryAdmin, "list_per_page", 2)
    assert [staff().get(LIST, {"p": number}).status_code for number in ("3", "9")] == [200, 302]


# Hostile addresses


@pytest.mark.parametrize(
    "value", ["\x00", "x" * 3000, "9" * 30, str(2**63), "'; --", "%", "_", "ж", "٣٣٣٣", "0033\x00"]
)
def test_no_address_breaks_a_list(staff, booked, value):
    """Neither a choice that was not offered, nor a key that cannot be one, nor any search term."""
    client = staff(*VIEWS, "view_personal_data")
    for name in ("status", "attention", "promise", "since", "account", "environment"):
        assert found(client, LIST, **{name: value}) == [booked]
    assert client.get(EVENTS, {"state": value}).status_code == 200
    for table in TABLES:
        assert client.get(f"{FOLDER}/{table}/", {"q": value}).status_code == 200
        assert client.get(f"{FOLDER}/{table}/", {"id": value}).status_code in {200, 302, 400}
        assert client.get(f"{FOLDER}/{table}/", {"id__in": value}).status_code == 400


def test_a_list_answers_no_question_about_hidden_columns(staff, booked):
    """It would give a phone away letter by letter; and a user's own pattern could run for hours."""
    for name in ("dropoff_phone__startswith", "raw__contains", "cancel_reason__regex", "status__regex"):
        assert staff().get(LIST, {name: "+7"}).status_code == 400
    assert found(staff(), LIST, id=str(booked.pk)) == [booked]


# Searches


def test_a_delivery_is_found_by_each_of_its_ids(staff, several):
    """Whole, with blanks around it or not."""
    wanted = several[2]
    for text in (wanted.external_order_id, wanted.delivery_id, wanted.object_id):
        assert found(staff(), LIST, q=f" {text} ") == [wanted]


def test_a_delivery_is_found_by_the_end_of_its_phone(staff, several):
    """However it is written, by users who can see it: for others the answer would be the phone, digit by digit."""
    for row in several:  # an order may have this number
        Delivery.objects.filter(pk=row.pk).update(object_id=f"x{row.pk}", external_key="x", label_key="x")
    wanted, client = several[3], staff("view_personal_data")
    for term in ("0033", "550033", "55 00 33", "+7 701 555 00 33", "(701) 555-00-33"):
        assert found(client, LIST, q=term) == [wanted]
    assert found(client, LIST, q="033") == []  # three digits would find every delivery
    assert found(staff(), LIST, q="550033") == []


def test_a_phone_hides_no_order(staff, several):
    """In a large shop every four digits end some customer's phone."""
    Delivery.objects.filter(pk=several[0].pk).update(external_key="003374")
    assert {several[0], several[3]} <= set(found(staff("view_personal_data"), LIST, q="0033"))


def test_a_delivery_is_found_by_its_orders_number(staff, numbered):
    """Whole: a longer number is another order's. Where no order has it whole, by its beginning."""
    client = staff()
    for term in ("2026-00006", "заказ 2026-00006", "2026/00006", "Shop-0A7", "shop-0a7", "0A7"):
        assert found(client, LIST, q=term) == [numbered]
    for term, count in {"2026-0000": 2, "shop-0a": 2, "2026-000061": 1, "2027": 0}.items():
        assert len(found(client, LIST, q=term)) == count


def test_a_customer_is_found_by_name_and_city(staff, numbered):
    """By users who can see personal data; others cannot guess a name."""
    for term in ("айгерим", "Сапарова", "сапарова айгерим", "АЙГЕРИМ САП", "Алматы", "алма"):
        assert numbered in found(staff("view_personal_data"), LIST, q=term)
        assert found(staff(), LIST, q=term) == []


def test_a_label_that_may_be_personal_is_shown_and_found_by_personal_data_alone(staff, booked):
    """Others see the id at Kaspi."""
    name_order(booked, "Дарига 1700000000", label_is_personal=True)
    for query in ({}, {"q": "Дарига 1700000000"}):
        assert "Дарига 1700000000" in staff("view_personal_data").get(LIST, query).content.decode()
    page = staff().get(LIST).content.decode()
    assert "Дарига" not in page
    assert booked.external_order_id in page
    assert found(staff(), LIST, q="1700000000") == []


def test_every_list_shows_the_orders_name_and_finds_by_it(staff, numbered):
    """And links the delivery and the shop's order."""
    client = staff(*VIEWS, "view_order")
    for table in sorted(set(TABLES) - {"delivery", "accountstate"}):
        url = f"{FOLDER}/{table}/"
        assert 0 < len(found(client, url, q="2026-00006")) < len(found(client, url))
        page = client.get(url, {"q": "2026-00006"}).content.decode()
        assert "Заказ №2026-00006" in page
        assert f'href="{LIST}{numbered.pk}/change/"' in page
        assert f'href="/admin/shop/order/{numbered.object_id}/change/"' in page


def test_events_are_found_by_event_order_and_delivery(staff, busy, post_webhook):
    """A linked one by the delivery's id too, and a parked one by an id that no delivery has."""
    client, wanted = staff("view_webhookevent"), WebhookEvent.objects.order_by("pk")[1]
    for term in (wanted.event_id, wanted.external_order_id, wanted.kaspi_delivery_id):
        assert found(client, EVENTS, q=term) == [wanted]
    post_webhook(event(Delivery(delivery_id="dlv_x", external_order_id="order-x"), "created", event_id="wh_x"))
    assert [row.event_id for row in found(client, EVENTS, q="dlv_x")] == ["wh_x"]


def test_calls_and_steps_are_found_by_their_delivery(staff, several):
    """And calls by their key."""
    delivery, client = several[3], staff(*VIEWS)
    for term in (delivery.external_order_id, delivery.delivery_id):
        assert found(client, CALLS, q=term) == list(delivery.calls.all())
        assert found(client, f"{FOLDER}/statuschange/", q=term) == list(delivery.history.all())
    call = delivery.calls.get()
    assert found(client, CALLS, q=call.idempotency_key) == [call]


# Filters


def test_only_reasons_that_occur_are_offered_with_their_counts(staff, busy):
    """And the one that an address names."""
    Delivery.objects.filter(pk=Delivery.objects.first().pk).update(attention="refused")
    page = staff().get(LIST, {"attention": "not_found"})
    [spec] = [one for one in page.context["cl"].filter_specs if one.parameter_name == "attention"]
    offered = {key: label.rpartition(" ")[2] for key, label in spec.lookup_choices}
    assert offered == {"any": "(5)", "refused": "(1)", "too_old": "(4)", "not_found": "(0)"}
    assert list(page.context["cl"].result_list) == []


def test_the_deliveries_filters(staff, busy, fake_clock):
    """Each keeps what it names."""
    Delivery.objects.update(created_at=fake_clock.now)
    first = Delivery.objects.order_by("pk")[:1].get()
    first.status, first.created_at = "", fake_clock.now - timedelta(days=2)
    first.save()
    counts = {
        "status": {"created": 4, "not_booked": 1, "delivered": 0},
        "attention": {"any": 5, "refused": 0},
        "promise": {"overdue": 4},
        "since": {"1": 4, "24": 4, "720": 5, "nonsense": 5},
    }
    client = staff()
    shown = {key: {value: len(found(client, LIST, **{key: value})) for value in counts[key]} for key in counts}
    assert shown == counts


def test_accounts_and_environments_are_filters_where_there_are_several(staff, several, configure):
    """One of each needs neither a filter nor a column."""
    lists = staff().get(LIST).context["cl"]
    assert "account" not in lists.list_display
    assert not {"account", "environment"} & {one.parameter_name for one in lists.filter_specs}
    live = {"API_KEY": "k", "ENVIRONMENT": "production", "BASE_URL": "https://api.kaspi.kz/delivery"}
    configure(ACCOUNTS={"almaty": live})
    assert "account" in staff().get(LIST).context["cl"].list_display
    for name, here, elsewhere in (("account", "default", "almaty"), ("environment", "sandbox", "production")):
        assert len(found(staff(), LIST, **{name: here})) == 5
        assert found(staff(), LIST, **{name: elsewhere}) == []


def test_dead_letters_and_pending_calls_are_one_choice_each(staff, busy):
    """Failed, parked and in conflict; due, unknown, and those that need staff."""
    keys = list(WebhookEvent.objects.values_list("pk", flat=True))
    for key, state in zip(keys, ("failed", "parked", "conflict"), strict=False):
        WebhookEvent.objects.filter(pk=key).update(state=state)
    ApiCall.objects.filter(pk=ApiCall.objects.first().pk).update(state="stuck", reason="too_old")
    client = staff(*VIEWS)
    assert {row.state for row in found(client, EVENTS, state="dead")} == {"failed", "parked", "conflict"}
    assert [row.state for row in found(client, EVENTS, state="parked")] == ["parked"]
    assert len(found(client, EVENTS, since="1")) == 5
    assert [call.state for call in found(client, CALLS, state="waiting")] == ["stuck"]
    assert len(found(client, CALLS, state="done")) == 4
    assert "It waited too long" in client.get(CALLS, {"state": "stuck"}).content.decode()


# Cells


def test_an_order_opens_with_one_click(staff, numbered):
    """By its name; a long key is short there, and whole on hover and for copying. The shop's page is linked too."""
    key = "order-0c7e3a10-9d3b-4d5f-8f0e-6a1b2c3d4e5f"
    Delivery.objects.filter(pk=numbered.pk).update(external_order_id=key, external_key=search.number_key(key))
    page = staff().get(LIST, {"q": "2026-00006"}).content.decode()
    assert f'<a href="{LIST}{numbered.pk}/change/">Заказ №2026-00006</a>' in page
    assert f'title="{key}">order-0c7e…4e5f<' in page
    assert f'data-kd-copy="{key}"' in page
    assert f'href="/admin/shop/order/{numbered.object_id}/change/"' in page
    numbered.refresh_from_db()
    assert display.order_link(AdminSite("elsewhere"), numbered, shows_personal=False) == numbered.order_label


def test_badges_say_in_words_what_their_colour_says(staff, booked):
    """The mark before them is not read aloud; a reason for attention is no code."""
    Delivery.objects.update(attention="too_old")
    page = staff().get(LIST).content.decode()
    assert '<span class="kd-badge kd-waiting"><span aria-hidden="true">○</span>\N{NO-BREAK SPACE}Created</span>' in page
    assert "It waited too long" in page


def test_an_overdue_promise_is_marked(staff, booked, fake_clock):
    """With how late it is; what is not late says when it comes."""
    late, early = fake_clock.now - timedelta(hours=2), fake_clock.now + timedelta(hours=3)
    cells = [("created", late, "overdue: 2\N{NO-BREAK SPACE}h"), ("created", early, "in 3 h"), ("delivered", late, "")]
    for status, delivery_by, words in cells:
        Delivery.objects.update(status=status, delivery_by=delivery_by)
        page = staff().get(LIST).content.decode()
        assert words in page
        assert ("overdue:" in page) is words.startswith("overdue")
