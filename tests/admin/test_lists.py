"""The lists: what they cost, what they find, and what they say when they leave rows out."""

from datetime import timedelta
from itertools import product

import pytest
from django.contrib.admin import AdminSite
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.deliveries import DeliveryAdmin
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, PendingAction, WebhookEvent, search
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

FOLDER = "/admin/kaspi_delivery"
LIST = f"{FOLDER}/delivery/"
TABLES = ("delivery", "apicall", "webhookevent", "statuschange", "failedattempt", "pendingaction", "accountstate")
VIEWS = tuple(f"view_{table}" for table in TABLES)


@pytest.fixture
def busy(drain, deliver_webhooks, turnable):
    """Fill each table with several rows."""
    for number in range(5):
        Order.objects.create(phone=f"+7 701 555 00 {number}{number}")
    drain()
    deliver_webhooks()
    for call in ApiCall.objects.select_related("delivery"):
        FailedAttempt.objects.create(call=call, kind=call.kind, at=turnable.now, error="no answer")
        PendingAction.objects.create(name="refresh", delivery=call.delivery, created_at=turnable.now)
    Delivery.objects.update(delivery_by=turnable.now - timedelta(hours=1), attention="too_old")


def found(client, url, **query):
    """Return the rows that a list shows."""
    page = client.get(url, query)
    assert page.status_code == 200
    return list(page.context["cl"].result_list)


@pytest.mark.parametrize("table", TABLES)
def test_a_list_asks_the_same_for_many_rows_as_for_one(staff, busy, table):
    """No query for each row, and twelve at most."""
    client = staff(*VIEWS, "view_order")
    client.get(f"{FOLDER}/{table}/")
    with CaptureQueriesContext(connection) as several:
        shown = found(client, f"{FOLDER}/{table}/")
    model = type(shown[0])
    model.objects.exclude(pk=shown[0].pk).delete()
    with CaptureQueriesContext(connection) as one:
        assert len(found(client, f"{FOLDER}/{table}/")) == 1
    assert len(several) == len(one) <= 12


@pytest.mark.parametrize("table", TABLES)
def test_no_list_counts_or_sorts_the_whole_table(staff, busy, table):
    """Every count has its limit, and every order is the primary key's."""
    with CaptureQueriesContext(connection) as queries:
        found(staff(*VIEWS), f"{FOLDER}/{table}/")
    ours = [query["sql"] for query in queries if "kaspi_delivery_" in query["sql"]]
    assert ours
    for sql in ours:
        assert "DISTINCT" not in sql
        assert "COUNT(" not in sql or f"LIMIT {filters.MAX_COUNT + 1}" in sql


@pytest.mark.parametrize("query", [{}, {"o": "3"}, {"o": "-2.1"}])
def test_the_primary_key_is_the_only_order(staff, busy, query):
    """Also when the address asks for another."""
    ApiCall.objects.filter(pk=ApiCall.objects.order_by("pk")[2].pk).update(attempts=9)
    shown = [call.pk for call in found(staff("view_apicall"), f"{FOLDER}/apicall/", **query)]
    assert shown == sorted(shown, reverse=True)


@pytest.mark.parametrize("value", ["\x00", "x" * 3000, "9" * 30])
def test_a_choice_that_was_not_offered_is_none(staff, busy, value):
    """And breaks nothing."""
    client = staff(*VIEWS)
    for name in ("status", "attention", "promise", "since", "account", "environment"):
        assert client.get(f"{FOLDER}/delivery/", {name: value}).status_code == 200
    assert client.get(f"{FOLDER}/webhookevent/", {"state": value}).status_code == 200


@pytest.mark.parametrize("key", ["x", "9" * 30, str(2**63), "\x00"])
def test_a_key_that_cannot_be_one_breaks_nothing(staff, busy, key):
    """Whatever the engine makes of it."""
    for table in TABLES:
        assert staff(*VIEWS).get(f"{FOLDER}/{table}/", {"id": key}).status_code in {200, 302, 400}
        assert staff(*VIEWS).get(f"{FOLDER}/{table}/", {"id__in": key}).status_code == 400


def test_a_long_list_says_what_it_leaves_out(staff, busy, monkeypatch):
    """It pages through the newest rows only."""
    monkeypatch.setattr(filters, "MAX_COUNT", 3)
    page = staff().get(LIST)
    assert page.context["cl"].result_count == 3
    assert "There are more than 3 rows" in page.content.decode()
    monkeypatch.setattr(filters, "MAX_COUNT", 5)
    assert "There are more than" not in staff().get(LIST).content.decode()


def test_a_page_that_is_not_there_is_refused(staff, busy, monkeypatch):
    """As Django's own lists do."""
    monkeypatch.setattr(DeliveryAdmin, "list_per_page", 2)
    assert staff().get(LIST, {"p": "3"}).status_code == 200
    assert staff().get(LIST, {"p": "9"}).status_code == 302


@pytest.mark.parametrize("column", ["external_order_id", "delivery_id", "object_id"])
def test_a_delivery_is_found_by_each_of_its_ids(staff, busy, column):
    """Whole, with blanks around it or not."""
    wanted = Delivery.objects.order_by("pk")[2]
    assert found(staff(), LIST, q=f" {getattr(wanted, column)} ") == [wanted]


def test_a_delivery_is_found_by_the_end_of_its_phone(staff, busy):
    """However it is written."""
    wanted = Delivery.objects.get(dropoff_phone="+7 701 555 0033")
    client = staff("view_personal_data")
    for term in ("0033", "550033", "55 00 33", "+7 701 555 00 33", "(701) 555-00-33"):
        assert found(client, LIST, q=term) == [wanted]


def test_a_phone_hides_no_order(staff, busy):
    """In a large shop every four digits end somebody's phone."""
    by_phone, by_number = Delivery.objects.filter(dropoff_phone__endswith="33")[:1], Delivery.objects.order_by("pk")[:1]
    Delivery.objects.filter(pk=by_number[0].pk).update(external_key="003374")
    found_by = set(found(staff("view_personal_data"), LIST, q="0033"))
    assert found_by == {*by_phone, *by_number}


def test_a_phone_is_no_question_for_who_must_not_see_it(staff, busy):
    """The answer would be the phone, digit by digit."""
    assert found(staff(), LIST, q="550033") == []


def test_three_digits_are_no_phone(staff, busy):
    """They would find everybody."""
    assert found(staff("view_personal_data"), LIST, q="033") == []


def test_no_search_term_breaks_a_list(staff, busy):
    """Nothing is found, and nothing fails."""
    client = staff(*VIEWS, "view_personal_data")
    terms = ("'; --", "%", "_", "x" * 3000, "ж", "٣٣٣٣", "0033\x00")
    for table, term in product(TABLES, terms):
        assert client.get(f"{FOLDER}/{table}/", {"q": term}).status_code == 200


def test_events_are_found_by_event_order_and_delivery(staff, busy):
    """A linked one by the delivery's id too."""
    wanted = WebhookEvent.objects.order_by("pk")[1]
    for term in (wanted.event_id, wanted.external_order_id, wanted.kaspi_delivery_id):
        assert found(staff("view_webhookevent"), f"{FOLDER}/webhookevent/", q=term) == [wanted]


def test_a_parked_event_is_found_by_the_delivery_that_nobody_knows(staff, busy, post_webhook):
    """It is linked to none."""
    document = event(Delivery(delivery_id="dlv_x", external_order_id="order-x"), "created", event_id="wh_x")
    post_webhook(document)
    (shown,) = found(staff("view_webhookevent"), f"{FOLDER}/webhookevent/", q="dlv_x")
    assert shown.event_id == "wh_x"


@pytest.fixture
def numbered(busy):
    """Return a delivery whose order has a number of its own, beside one that begins as it does."""
    wanted, longer = Delivery.objects.order_by("pk")[1:3]
    name_order(wanted, "Заказ №2026-00006", external_order_id="Shop-0A7", label_is_personal=False)
    name_order(longer, "Заказ №2026-000061", external_order_id="Shop-0A71", label_is_personal=False)
    return wanted


def name_order(delivery, label, *, name="Айгерим Сапарова", address="Алматы, Абая 1", **columns):
    """Give a delivery the columns that a booking of such an order writes."""
    number = columns.get("external_order_id", delivery.external_order_id)
    keys = {"label_key": search.number_key(label), "external_key": search.number_key(number)}
    people = {"name_key": search.words_key(name), "surname_key": search.second_words_key(name)}
    Delivery.objects.filter(pk=delivery.pk).update(
        order_label=label, dropoff_name=name, city_key=search.city_key(address), **keys, **people, **columns
    )


@pytest.mark.parametrize("term", ["2026-00006", "заказ 2026-00006", "2026/00006", "Shop-0A7", "shop-0a7", "0A7"])
def test_a_delivery_is_found_by_its_orders_number(staff, numbered, term):
    """Whole; a longer number is another order's."""
    assert found(staff(), LIST, q=term) == [numbered]


@pytest.mark.parametrize(("term", "count"), [("2026-0000", 2), ("shop-0a", 2), ("2026-000061", 1), ("2027", 0)])
def test_the_beginning_of_a_number_finds_what_begins_so(staff, numbered, term, count):
    """Where no order has it as whole words."""
    assert len(found(staff(), LIST, q=term)) == count


@pytest.mark.parametrize("term", ["айгерим", "Сапарова", "сапарова айгерим", "АЙГЕРИМ САП", "Алматы", "алма"])
def test_a_customer_is_found_by_name_and_city(staff, numbered, term):
    """By users who can view personal data; others cannot guess a name."""
    assert numbered in found(staff("view_personal_data"), LIST, q=term)
    assert found(staff(), LIST, q=term) == []


def test_a_label_that_may_be_personal_is_shown_and_found_by_personal_data_alone(staff, booked):
    """Others see the id at Kaspi."""
    name_order(booked, "Дарига 1700000000", label_is_personal=True)
    for query in ({}, {"q": "Дарига 1700000000"}):
        page = staff("view_personal_data").get(LIST, query).content.decode()
        assert "Дарига 1700000000" in page
    assert "Дарига" not in staff().get(LIST).content.decode()
    assert booked.external_order_id in staff().get(LIST).content.decode()
    assert found(staff(), LIST, q="1700000000") == []


@pytest.mark.parametrize("table", ["apicall", "statuschange", "webhookevent", "failedattempt", "pendingaction"])
def test_every_list_shows_the_orders_name_and_finds_by_it(staff, numbered, table):
    """And links the delivery and the shop's order."""
    client, url = staff(*VIEWS, "view_order"), f"{FOLDER}/{table}/"
    rows = found(client, url, q="2026-00006")
    assert rows
    assert len(rows) < len(found(client, url))
    page = client.get(url, {"q": "2026-00006"}).content.decode()
    assert "Заказ №2026-00006" in page
    assert f'href="{LIST}{numbered.pk}/change/"' in page
    assert f'href="/admin/shop/order/{numbered.object_id}/change/"' in page


def test_the_order_opens_with_one_click(staff, numbered):
    """By its name; a long key is short there, and whole on hover and for copying."""
    key = "order-0c7e3a10-9d3b-4d5f-8f0e-6a1b2c3d4e5f"
    Delivery.objects.filter(pk=numbered.pk).update(external_order_id=key, external_key=search.number_key(key))
    page = staff().get(LIST, {"q": "2026-00006"}).content.decode()
    assert f'<a href="{LIST}{numbered.pk}/change/">Заказ №2026-00006</a>' in page
    assert f'title="{key}">order-0c7e…4e5f<' in page
    assert f'data-kd-copy="{key}"' in page


def test_only_reasons_that_occur_are_offered_with_their_counts(staff, busy):
    """And the one that an address names."""
    Delivery.objects.filter(pk=Delivery.objects.first().pk).update(attention="refused")
    page = staff().get(LIST, {"attention": "not_found"})
    [spec] = [one for one in page.context["cl"].filter_specs if one.parameter_name == "attention"]
    offered = {key: label.rpartition(" ")[2] for key, label in spec.lookup_choices}
    assert offered == {"any": "(5)", "refused": "(1)", "too_old": "(4)", "not_found": "(0)"}
    assert list(page.context["cl"].result_list) == []


def test_calls_and_steps_are_found_by_their_delivery(staff, busy):
    """And calls by their key."""
    delivery = Delivery.objects.order_by("pk")[3]
    client = staff(*VIEWS)
    for term in (delivery.external_order_id, delivery.delivery_id):
        assert found(client, f"{FOLDER}/apicall/", q=term) == list(delivery.calls.all())
        assert found(client, f"{FOLDER}/statuschange/", q=term) == list(delivery.history.all())
    call = delivery.calls.get()
    assert found(client, f"{FOLDER}/apicall/", q=call.idempotency_key) == [call]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"status": "created"}, 4),
        ({"status": "not_booked"}, 1),
        ({"status": "delivered"}, 0),
        ({"attention": "any"}, 5),
        ({"attention": "refused"}, 0),
        ({"promise": "overdue"}, 4),
        ({"since": "1"}, 4),
        ({"since": "24"}, 4),
        ({"since": "720"}, 5),
        ({"since": "nonsense"}, 5),
    ],
)
def test_the_deliveries_filters(staff, busy, turnable, query, count):
    """Each keeps what it says."""
    first = Delivery.objects.order_by("pk")[0]
    Delivery.objects.update(created_at=turnable.now)
    Delivery.objects.filter(pk=first.pk).update(status="", created_at=turnable.now - timedelta(days=2))
    assert len(found(staff(), LIST, **query)) == count


def test_accounts_are_a_filter_and_a_column_where_there_are_several(staff, busy, settings):
    """One account needs neither."""
    assert "account" not in staff().get(LIST).context["cl"].list_display
    account = {key: settings.KASPI_DELIVERY[key] for key in ("API_KEY", "WEBHOOK_SECRETS")}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": {"almaty": account}}
    assert "account" in staff().get(LIST).context["cl"].list_display
    assert found(staff(), LIST, account="almaty") == []
    assert len(found(staff(), LIST, account="default")) == 5


def test_environments_are_a_filter_where_there_are_several(staff, busy, settings):
    """One environment needs none."""
    assert "environment" not in str(staff().get(LIST).context["cl"].filter_specs)
    live = {"API_KEY": "k", "ENVIRONMENT": "production", "BASE_URL": "https://api.kaspi.kz/delivery"}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": {"almaty": live}}
    assert found(staff(), LIST, environment="production") == []
    assert len(found(staff(), LIST, environment="sandbox")) == 5


def test_dead_letters_are_one_choice(staff, busy):
    """Failed, parked and in conflict together."""
    keys = list(WebhookEvent.objects.values_list("pk", flat=True))
    for key, state in zip(keys, ("failed", "parked", "conflict"), strict=False):
        WebhookEvent.objects.filter(pk=key).update(state=state)
    client, url = staff("view_webhookevent"), f"{FOLDER}/webhookevent/"
    assert {row.state for row in found(client, url, state="dead")} == {"failed", "parked", "conflict"}
    assert [row.state for row in found(client, url, state="parked")] == ["parked"]
    assert len(found(client, url, since="1")) == 5


def test_calls_that_wait_are_one_choice(staff, busy):
    """Due, unknown, and those that wait for a person."""
    ApiCall.objects.filter(pk=ApiCall.objects.first().pk).update(state="stuck", reason="too_old")
    client, url = staff("view_apicall"), f"{FOLDER}/apicall/"
    assert [call.state for call in found(client, url, state="waiting")] == ["stuck"]
    assert "It waited too long" in client.get(url, {"state": "stuck"}).content.decode()
    assert len(found(client, url, state="done")) == 4


def test_badges_say_in_words_what_their_colour_says(staff, booked):
    """And the mark before them is not read aloud."""
    page = staff().get(LIST).content.decode()
    assert '<span class="kd-badge kd-waiting"><span aria-hidden="true">○</span>\N{NO-BREAK SPACE}Created</span>' in page


def test_an_overdue_promise_is_marked(staff, booked, turnable):
    """With how late it is; what is not late says when it comes."""
    Delivery.objects.update(delivery_by=turnable.now - timedelta(hours=2))
    assert "overdue: 2\N{NO-BREAK SPACE}h" in staff().get(LIST).content.decode()
    Delivery.objects.update(delivery_by=turnable.now + timedelta(hours=3))
    assert "in 3 h" in staff().get(LIST).content.decode()
    Delivery.objects.update(status="delivered", delivery_by=turnable.now - timedelta(hours=2))
    assert "overdue:" not in staff().get(LIST).content.decode()


def test_an_order_is_linked_where_the_shop_has_a_page_for_it(staff, booked):
    """And named where it has none."""
    assert f'href="/admin/shop/order/{booked.object_id}/change/"' in staff().get(LIST).content.decode()
    assert display.order_link(AdminSite("elsewhere"), booked) == booked.order_label
