"""The list: filters, pages, and what they cost."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from kaspi_delivery_django.models import Delivery
from tests.api.conftest import ALL, LIST
from tests.shop.models import Order

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def many(booked):
    """Return the keys of 12 booked deliveries, the oldest first; the first four are a year old."""
    keys = []
    for number in range(100, 112):
        own = {
            "object_id": str(number),
            "label_key": str(number),
            "external_order_id": f"order-{number}",
            "delivery_id": f"dlv_{number}",
        }
        row = Delivery.objects.get(pk=booked.pk)
        row.pk = row.pk if number == 100 else None
        vars(row).update(own)
        row.save()
        at = timezone.now() - (365 * DAY if number < 104 else 0 * DAY) + timedelta(seconds=number)
        Delivery.objects.filter(pk=row.pk).update(created_at=at)
        keys.append(row.pk)
    return keys


def found(api, **parameters):
    """Return the keys of the deliveries on the first page."""
    answer = api.get(LIST, parameters)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def walk(api, url, link="next"):
    """Return the keys of each page, following the links, and the last page's address."""
    pages = []
    while url:
        answer, last = api.get(url).json(), url
        pages.append([row["id"] for row in answer["results"]])
        url = answer[link]
    return pages, last


@pytest.mark.parametrize("filters", ["", "&created_after=2001-01-01T00:00:00Z"])
def test_the_pages_show_each_delivery_once(api, many, filters):
    """Forwards and back, the newest first, whatever column orders them."""
    pages, last = walk(api, f"{LIST}?page_size=5{filters}")
    assert [len(page) for page in pages] == [5, 5, 2]
    assert [key for page in pages for key in page] == many[::-1]
    back, _first = walk(api, last, link="previous")
    assert [key for page in reversed(back) for key in page] == many[::-1]


def test_a_delivery_that_comes_meanwhile_moves_no_page(api, many):
    """A page follows the one before it, not a count."""
    first = api.get(LIST, {"page_size": 5}).json()
    Order.objects.create()
    assert [row["id"] for row in api.get(first["next"]).json()["results"]] == many[::-1][5:10]


@pytest.mark.parametrize("permissions", [ALL, ()])
def test_a_page_costs_the_same_for_one_row_and_for_many(program, many, permissions):
    """However many rows: flagged ones, returns, and those whose rules read their returns or their history."""
    client = program(*permissions)
    Delivery.objects.update(attention="refused")
    Delivery.objects.filter(pk__in=many[:4]).update(status="delivered")
    Delivery.objects.filter(pk__in=many[4:8]).update(status="new", final_at=timezone.now())
    for there, back in zip(many[:4], many[8:], strict=True):
        object_id = Delivery.objects.get(pk=there).object_id
        Delivery.objects.filter(pk=back).update(object_id=object_id, returned_generation=1)
    counts = []
    for size in (1, 12):
        with CaptureQueriesContext(connection) as queries:
            rows = client.get(LIST, {"page_size": size}).json()["results"]
        assert len(rows) == size
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 6  # token, permissions twice, page, calls, history
    assert [row["return_of"] for row in reversed(rows)] == [None] * 8 + many[:4]


def test_the_filters_find_what_they_name(api, many):
    """Each by itself, and together."""
    one, two, three = many[0], many[1], Delivery.objects.get(pk=many[7])
    Delivery.objects.filter(pk=one).update(
        status="delivered", attention="refused", order_label="A-1700", label_key="1700"
    )
    Delivery.objects.filter(pk=two).update(status="", attention="order_edited", account="almaty")
    assert found(api, status="delivered") == [one]
    assert found(api, status=["delivered", "not_booked"]) == [two, one]
    assert found(api, attention="any") == [two, one]
    assert found(api, attention="refused") == [one]
    assert len(found(api, attention="none")) == 10
    assert found(api, account="almaty") == [two]
    assert found(api, account="nowhere") == []
    assert found(api, external_order_id=three.external_order_id) == [three.pk]
    assert found(api, delivery_id=three.delivery_id) == [three.pk]
    assert found(api, order_id=three.object_id, model="shop.ORDER") == [three.pk]
    assert found(api, search="a 1700") == [one]
    assert found(api, search=three.external_order_id.upper()) == [three.pk]
    assert found(api, attention="any", account="almaty") == [two]


def test_times_bound_the_list(api, many):
    """The first moment is in, the last is out; with any offset."""
    row = Delivery.objects.get(pk=many[3])
    before = (timezone.now() - DAY).isoformat()
    assert len(found(api, created_before=before)) == 4
    assert len(found(api, created_after=before)) == 8
    assert found(api, created_after=row.created_at.isoformat(), created_before=before) == [row.pk]
    assert len(found(api, created_before=row.created_at.astimezone(timezone.get_fixed_timezone(300)).isoformat())) == 3
    changed = datetime(2026, 3, 2, tzinfo=UTC)
    Delivery.objects.filter(pk=row.pk).update(updated_at=changed)
    Delivery.objects.exclude(pk=row.pk).update(updated_at=changed - DAY)
    assert found(api, updated_after=changed.isoformat()) == [row.pk]
    assert found(api, updated_before=changed.isoformat(), page_size=200, search=row.external_order_id) == []


def test_a_flagged_delivery_has_kaspis_answer(api, program, refused):
    """With a code; Kaspi's own words only for those who may read them."""
    [row] = api.get(LIST, {"attention": "any"}).json()["results"]
    reason = row["attention"]
    assert (reason["code"], reason["call"], reason["http_status"]) == ("refused", "create", 422)
    assert reason["message"]
    [row] = program().get(LIST).json()["results"]
    assert row["attention"]["message"] is None
