"""What is taken out of the admin: labels to print, and the list as a CSV file."""

import asyncio
import csv
import html
import io
import re
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection, connections
from django.http import StreamingHttpResponse
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from kaspi_delivery_django.admin import exports, readonly
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.statuses import status_label
from tests.admin.conftest import LIST, choose, statements_of
from tests.conftest import PATIENCE_S
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

LABELS, EXPORT = f"{LIST}labels/", f"{LIST}export/"
HOSTILE = "<script>alert(1)</script>"
PERSONAL = "view_personal_data"


def printed(page):
    """Return the deliveries on the page of labels."""
    assert page.status_code == 200
    return [label["delivery"] for label in page.context["labels"]]


def read(response, delimiter=","):
    """Return the file's rows as dictionaries."""
    assert response.status_code == 200
    text = response.getvalue().decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:], newline=""), delimiter=delimiter))


def names(response):
    """Return the orders in the file, from the top."""
    return [row["External order id"] for row in read(response)]


def recorded():
    """Return what the admin's log says: who, what and how much."""
    return [(str(entry.user), entry.object_repr, entry.change_message) for entry in LogEntry.objects.order_by("pk")]


def test_what_leaves_today_is_what_a_courier_picks_up_today(staff, several, fake_clock):
    """Late ones and those without a time too; neither tomorrow's nor what was picked up, cancelled or not booked."""
    Order.objects.create()
    Delivery.objects.update(pickup_by=None)
    today = fake_clock.now.replace(hour=18, minute=59)  # 23:59 in Almaty
    changes = (
        {"pickup_by": today},
        {"pickup_by": today + timedelta(minutes=1)},
        {"status": "in_transit"},
        {"cancel_requested_at": fake_clock.now},
        {"pickup_by": today - timedelta(days=2), "status": "accepted"},
    )
    for row, change in zip(several, changes, strict=True):
        Delivery.objects.filter(pk=row.pk).update(**change)
    assert printed(staff(PERSONAL).get(LABELS)) == [several[0], several[4]]
    Delivery.objects.update(pickup_by=None)
    assert printed(staff(PERSONAL).get(LABELS)) == [several[0], several[1], several[4]]
    Delivery.objects.filter(pk=several[0].pk).update(environment="production")  # another site's
    assert printed(staff(PERSONAL).get(LABELS)) == [several[1], several[4]]


def test_a_label_has_what_the_packer_and_the_courier_need(staff, booked, monkeypatch):
    """Customers' texts are escaped. Without the extra `labels` the page says what to install for the codes."""
    own = {"dropoff_name": "Aigerim", "dropoff_address": "Abay 1", "dropoff_notes": f"Gate 2\n{HOSTILE}"}
    Delivery.objects.update(**own)
    page = staff(PERSONAL).get(LABELS).content.decode()
    for text in (booked.order_label, booked.delivery_id, "Aigerim", "Abay 1", "Gate 2<br>"):
        assert text in page
    assert page.count('class="kd-code"') == page.count("<li>") == 1
    assert HOSTILE not in page
    assert "style=" not in page
    monkeypatch.setattr(exports, "make_qr", None)
    page = staff(PERSONAL).get(LABELS).content.decode()
    assert "<svg" not in page
    assert booked.delivery_id in page
    assert "kaspi-delivery-django[labels]" in page


def test_the_chosen_deliveries_are_printed_whatever_their_status(staff, several, fake_clock, monkeypatch):
    """The label of a parcel that must stay shows the reason; a full page shows that there are more."""
    Delivery.objects.filter(pk=several[1].pk).update(status="cancelled")
    Delivery.objects.filter(pk=several[2].pk).update(cancel_requested_at=fake_clock.now)
    page = choose(staff(PERSONAL), several[:3], "print_labels")
    assert printed(page) == several[:3]
    warnings = [label["warning"] for label in page.context["labels"]]
    assert warnings == ["", "Cancelled", "A cancel was requested"]
    monkeypatch.setattr(exports, "MAX_LABELS", 3)
    page = choose(staff(PERSONAL), several[:1], "print_labels", select_across="1")
    assert printed(page) == several[:3]
    assert "There are more parcels" in page.content.decode()


def test_labels_cost_the_same_queries_for_many_as_for_one(staff, several):
    """No query for each parcel. The admin's log says who printed what, once for each page."""
    client = staff(PERSONAL)
    Delivery.objects.update(pickup_by=None)
    client.get(LABELS)
    keys = ", ".join(str(row.pk) for row in several)
    assert recorded() == [("operator", "Labels", f"deliveries: 5 ({keys})")]
    assert set(LogEntry.objects.values_list("content_type__model", "object_id")) == {("delivery", None)}
    many = statements_of(lambda: client.get(LABELS))
    Delivery.objects.exclude(pk=several[0].pk).delete()
    one = statements_of(lambda: client.get(LABELS))
    assert len(many) == len(one) <= 8
    assert printed(choose(client, several[:1], "print_labels")) == several[:1]
    assert recorded()[-1] == ("operator", "Labels", f"deliveries: 1 ({several[0].pk})")


def test_both_need_the_permission_to_see_personal_data(staff, several):
    """Without it there is neither link nor action, and no address answers; nor by that permission alone."""
    client = staff()
    assert client.get(LABELS).status_code == client.get(EXPORT).status_code == 403
    assert choose(client, several, "print_labels").status_code == 403
    page = client.get(LIST).content.decode()
    assert not [address for address in (LABELS, EXPORT, "print_labels") if address in page]
    client = staff(PERSONAL)
    User.objects.get().user_permissions.remove(Permission.objects.get(codename="view_delivery"))
    assert client.get(LABELS).status_code == client.get(EXPORT).status_code == 403
    assert recorded() == []


def test_neither_is_kept_by_a_browser_or_a_proxy(staff, booked):
    """Both hold names and addresses. An empty list is a file with a header."""
    client = staff(PERSONAL)
    for answer in (client.get(LABELS), client.get(EXPORT), choose(client, [booked], "print_labels")):
        assert "no-store" in answer["Cache-Control"]
    Delivery.objects.all().delete()
    assert len(client.get(EXPORT).getvalue().splitlines()) == 1


def test_all_rows_are_exported_once(staff, several, monkeypatch):
    """Not only those of the page, nor those that the list can page through: the newest first."""
    monkeypatch.setattr(readonly, "MAX_COUNT", 2)
    expected = [row.external_order_id for row in reversed(several)]
    for size in (1, 2, 4, 5, 6):
        monkeypatch.setattr(exports, "BATCH_ROWS", size)
        assert names(staff(PERSONAL).get(EXPORT, {"p": "9"})) == expected


def test_the_lists_link_keeps_its_filters_and_its_search(staff, several):
    """An address whose filter cannot be one leads back to the list, as Django's own lists do."""
    client = staff(PERSONAL)
    Delivery.objects.filter(pk__in=[several[1].pk, several[3].pk]).update(status="accepted")
    asked = ({"status": "accepted"}, [3, 1]), ({"q": several[2].external_order_id}, [2]), ({}, [4, 3, 2, 1, 0])
    for query, found in asked:
        page = client.get(LIST, {**query, "p": "1"}).content.decode()
        [link] = re.findall(f'href="({EXPORT}[^"]*)"', page)
        assert names(client.get(html.unescape(link))) == [several[number].external_order_id for number in found]
    answer = client.get(EXPORT, {"id__exact": "x"})
    assert (answer.status_code, answer["Location"]) == (302, f"{LIST}?e=1")


def test_values_are_written_for_people(staff, booked, fake_clock):
    """Times in the shop's zone; a status and a reason in words; nothing for what is not known."""
    Delivery.objects.update(
        created_at=fake_clock.now, delivery_by=None, attention="too_old", dropoff_notes='Say "hi",\nthen ring'
    )
    response = staff(PERSONAL).get(EXPORT)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].startswith('attachment; filename="deliveries-20')
    [row] = read(response)
    assert row["Created at"] == "2026-03-01 17:00:00"
    assert (row["Status"], row["Delivery by"]) == ("Created", "")
    assert row["Attention"] == "It waited too long to be sent automatically"
    assert row["Dropoff notes"] == 'Say "hi",\nthen ring'


@pytest.mark.parametrize(("language", "header"), [("ru", "Внешний номер заказа"), ("kk", "Тапсырыстың сыртқы нөмірі")])
def test_excel_in_the_readers_language_opens_it(staff, booked, settings, language, header):
    """With semicolons between the columns, in the language of the request, whatever the thread has later."""
    settings.LANGUAGE_CODE = language
    response = staff(PERSONAL).get(EXPORT)
    with translation.override("en"):
        [row] = read(response, delimiter=";")
    assert row[header] == booked.external_order_id
    assert len(row) == len(exports.COLUMNS)
    with translation.override(language):
        assert status_label("created") in row.values()


CALLS = ("=1+1", "+7 701 555 00 42", "-1", "@SUM(A1)", "\uff1d1")
HIDDEN = ("\t=1", "\r=1", "\ttext", "\rtext", "  =1", '"=1"', "' =1", "\u00a0=1", "\u200b=1", "\ufeff=1", "\n=1")


def test_a_cell_that_a_spreadsheet_would_run_begins_with_an_apostrophe():
    """Blanks, quotes and what cannot be seen do not hide it; nor a sign at which another spreadsheet splits cells."""
    for text in (*CALLS, *HIDDEN):
        safe = exports.without_formula(text)
        assert safe.startswith("'"), text
        assert safe.replace("'", "") == text.replace("'", "")
    for sign in (",", ";", "\t", "\n"):
        assert exports.without_formula(f"Abay 1{sign} =1") == f"Abay 1{sign}' =1"
    for text in ("", "Abay 1-5", "a=b", "e@mail", "1+1", "«Рахат», 2; этаж 3", "'", '"'):
        assert exports.without_formula(text) == text


def test_a_long_note_is_checked_once():
    """A customer's line breaks make no export slow: so many took an hour."""
    note = "\n" * 500_000
    assert exports.without_formula(note) == "'" + note


def test_no_column_is_left_out(staff, booked):
    """Whoever can write a delivery's texts could write a formula into any of them."""
    fields = [Delivery._meta.get_field(name) for name in exports.COLUMNS]
    texts = [field.name for field in fields if field.get_internal_type() in {"CharField", "TextField"}]
    Delivery.objects.update(**dict.fromkeys(texts, "=1"))
    [row] = read(staff(PERSONAL).get(EXPORT))
    assert [value for value in row.values() if value.startswith("=")] == []
    assert list(row.values()).count("'=1") == len(texts) >= 16


def test_the_admins_log_says_who_exported_what(staff, several):
    """With the filter, and how many rows there were; a search may be a customer's phone."""
    client = staff(PERSONAL)
    client.get(EXPORT).getvalue()
    client.get(EXPORT, {"status": "created", "q": "555 00 33"}).getvalue()
    client.get(EXPORT, {"status": "\x00"}).getvalue()
    assert recorded() == [
        ("operator", "CSV export", "rows: 5; no filter"),
        ("operator", "CSV export", "rows: 1; status=created, a search"),
        ("operator", "CSV export", "rows: 5; status=%00"),
    ]


def test_an_export_holds_no_transaction_and_asks_once_for_each_batch(staff, several, monkeypatch):
    """However long the reader takes. It is recorded from its start, and how far it came if the reader went away."""
    monkeypatch.setattr(exports, "BATCH_ROWS", 2)
    response = staff(PERSONAL).get(EXPORT)
    assert recorded() == [("operator", "CSV export", "started; no filter")]
    with CaptureQueriesContext(connection) as queries:
        for _part in response.streaming_content:
            assert not connection.in_atomic_block
    selects = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(selects) == 3
    assert all("LIMIT 2" in sql and "OFFSET" not in sql for sql in selects)
    response = staff(PERSONAL).get(EXPORT)
    with CaptureQueriesContext(connection) as queries:
        parts = iter(response.streaming_content)
        for _ in range(3):
            next(parts)
    assert len([query for query in queries if "LIMIT 2" in query["sql"]]) == 2  # not the third: memory is bounded
    response.close()
    assert recorded()[-1] == ("operator", "CSV export", "broken off; rows: 2; no filter")


def test_under_asgi_it_is_streamed_too(staff, several, monkeypatch):
    """Django would collect a plain iterator first, and warn."""
    monkeypatch.setattr(exports, "BATCH_ROWS", 2)
    session = staff(PERSONAL).cookies["sessionid"].value

    async def fetch(most):
        client = AsyncClient()
        client.cookies["sessionid"] = session
        response = await client.get(EXPORT)
        assert isinstance(response, StreamingHttpResponse)
        parts = response.streaming_content
        got = []
        async for part in parts:
            got.append(part)
            if len(got) == most:
                break
        await parts.aclose()
        await response._iterator.aclose()
        del parts, response  # the loop ends generators that are no longer read
        async with asyncio.timeout(PATIENCE_S):
            while (await sync_to_async(recorded)())[-1][2].startswith("started"):  # noqa: ASYNC110  # the loop has no event for it
                await asyncio.sleep(0)
        await sync_to_async(connections.close_all)()  # those of the thread that served it
        return b"".join(got)

    text = asyncio.run(fetch(99)).decode()
    assert [row.external_order_id in text for row in several] == [True] * 5
    assert recorded()[-1][2] == "rows: 5; no filter"
    asyncio.run(fetch(3))
    assert recorded()[-1][2] == "broken off; rows: 2; no filter"
