"""The list: filters, pages, and what they cost."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.deliveries import rules
from tests.api.conftest import ALL, LIST
from tests.shop.models import Order

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def many(kaspi, drain):
    """Return 30 booked deliveries, the oldest first; the first ten are a year old."""
    for _number in range(30):
        Order.objects.create()
    drain()
    rows = list(Delivery.objects.order_by("pk"))
    for number, row in enumerate(rows):
        at = timezone.now() - (365 * DAY if number < 10 else 0 * DAY) + timedelta(seconds=number)
        Delivery.objects.filter(pk=row.pk).update(created_at=at)
    return rows


def found(api, **parameters):
    """Return the keys of the deliveries on the first page."""
    answer = api.get(LIST, parameters)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def walk(api, url, link="next"):
    """Return the keys of each page, following the links."""
    pages = []
    while url:
        answer = api.get(url).json()
        pages.append([row["id"] for row in answer["results"]])
        url = answer[link]
    return pages


@pytest.mark.parametrize("filters", ["", "&created_after=2001-01-01T00:00:00Z"])
def test_the_pages_show_each_delivery_once(api, many, filters):
    """Forwards and back, the newest first, whatever column orders them."""
    pages = walk(api, f"{LIST}?page_size=7{filters}")
    newest_first = [row.pk for row in reversed(many)]
    assert [len(page) for page in pages] == [7, 7, 7, 7, 2]
    assert [key for page in pages for key in page] == newest_first
    last = f"{LIST}?page_size=7{filters}"
    while (answer := api.get(last).json())["next"]:
        last = answer["next"]
    back = walk(api, last, link="previous")
    assert [key for page in reversed(back) for key in page] == newest_first


def test_a_delivery_that_comes_meanwhile_moves_no_page(api, many):
    """A page follows the one before it, not a count."""
    first = api.get(LIST, {"page_size": 10}).json()
    Order.objects.create()
    second = api.get(first["next"]).json()
    assert [row["id"] for row in second["results"]] == [row.pk for row in reversed(many)][10:20]


@pytest.mark.parametrize("permissions", [ALL, ()])
def test_a_page_costs_the_same_for_one_row_and_for_many(program, many, permissions):
    """However many rows: flagged ones, returns, and those whose rules read their returns or their history."""
    client = program(*permissions)
    Delivery.objects.update(attention="refused")
    Delivery.objects.filter(pk__in=[row.pk for row in many[:10]]).update(status="delivered")
    Delivery.objects.filter(pk__in=[row.pk for row in many[10:20]]).update(status="new", final_at=timezone.now())
    for there, back in zip(many[:10], many[20:], strict=True):
        Delivery.objects.filter(pk=back.pk).update(object_id=there.object_id, returned_generation=1)
    counts = []
    for size in (1, 30):
        with CaptureQueriesContext(connection) as queries:
            rows = client.get(LIST, {"page_size": size}).json()["results"]
        assert len(rows) == size
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 6  # token, permissions twice, page, calls, history
    returned = [row["return_of"] for row in reversed(rows)]
    assert returned == [None] * 20 + [row.pk for row in many[:10]]


def test_the_filters_find_what_they_name(api, many):
    """Each by itself, and together."""
    one, two, three = many[0], many[1], many[20]
    Delivery.objects.filter(pk=one.pk).update(
        status="delivered", attention="refused", order_label="A-1700", label_key="1700"
    )
    Delivery.objects.filter(pk=two.pk).update(status="", attention="order_edited", account="almaty")
    assert found(api, status="delivered") == [one.pk]
    assert found(api, status=["delivered", "not_booked"]) == [two.pk, one.pk]
    assert found(api, attention="any") == [two.pk, one.pk]
    assert found(api, attention="refused") == [one.pk]
    assert len(found(api, attention="none")) == 28
    assert found(api, account="almaty") == [two.pk]
    assert found(api, account="nowhere") == []
    assert found(api, external_order_id=three.external_order_id) == [three.pk]
    assert found(api, delivery_id=three.delivery_id) == [three.pk]
    assert found(api, order_id=three.object_id, model="shop.ORDER") == [three.pk]
    assert found(api, search="a 1700") == [one.pk]
    assert found(api, search=three.external_order_id.upper()) == [three.pk]
    assert found(api, attention="any", account="almaty") == [two.pk]


def test_times_bound_the_list(api, many):
    """The first moment is in, the last is out; with any offset."""
    row = Delivery.objects.get(pk=many[9].pk)
    before = (timezone.now() - DAY).isoformat()
    assert len(found(api, created_before=before)) == 10
    assert len(found(api, created_after=before)) == 20
    assert found(api, created_after=row.created_at.isoformat(), created_before=before) == [row.pk]
    assert len(found(api, created_before=row.created_at.astimezone(timezone.get_fixed_timezone(300)).isoformat())) == 9
    changed = datetime(2026, 3, 2, tzinfo=UTC)
    Delivery.objects.filter(pk=row.pk).update(updated_at=changed)
    Delivery.objects.exclude(pk=row.pk).update(updated_at=changed - DAY)
    assert found(api, updated_after=changed.isoformat()) == [row.pk]
    assert found(api, updated_before=changed.isoformat(), page_size=200, search=row.external_order_id) == []


def test_a_delivery_says_what_can_be_done_and_why_not(api, booked):
    """The rules' own words, for each action."""
    [row] = api.get(LIST).json()["results"]
    assert set(row["allowed_actions"]) == {"cancel", "refresh"}
    assert set(row["refused_actions"]) == rules.PERMISSIONS.keys() - {"book", "cancel", "refresh"}
    assert row["refused_actions"]["link"].startswith("It is linked to ")


def test_a_flagged_delivery_says_what_kaspi_said(api, program, kaspi, due, drain):
    """With a code; Kaspi's own words only for those who may read them."""
    kaspi.faults.add(Fault(operation="create", status=422))
    drain()
    [row] = api.get(LIST, {"attention": "any"}).json()["results"]
    assert row["attention"]["code"] == "refused"
    assert row["attention"]["call"] == "create"
    assert row["attention"]["http_status"] == 422
    assert row["attention"]["message"]
    [row] = program().get(LIST).json()["results"]
    assert row["attention"]["message"] is None
