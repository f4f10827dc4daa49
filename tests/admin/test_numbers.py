"""Numbers in pages: what a program reads back is written the same, however a shop writes its numbers for people."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote as unquote_url

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.db import connection
from django.urls import get_resolver, resolve, reverse

from kaspi_delivery_django.admin import dashboard
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, PendingAction, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery
from kaspi_delivery_django.tracking import tracking_path
from tests.admin.conftest import LIST, change_page
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

DASHBOARD = f"{LIST}dashboard/"
THOUSAND = 1_234
FOR_PEOPLE = {"alt", "aria-label", "placeholder", "title"}
OURS = (ApiCall, FailedAttempt, PendingAction, StatusChange, WebhookEvent)


class Values(HTMLParser):
    """Collects what a program reads: attributes, scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.found, self._within = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Keep the attributes; a form's token is another one each time."""
        self._within = tag
        if ("name", "csrfmiddlewaretoken") not in attrs:
            self.found += [(tag, name, value) for name, value in attrs if name not in FOR_PEOPLE]

    def handle_data(self, text):
        """Keep what a browser runs."""
        if self._within in {"script", "style"}:
            self.found.append((self._within, "text", text))

    def handle_endtag(self, tag):
        """Leave it."""
        self._within = ""


NEXT_KEY = {
    "sqlite": "INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {last})",
    "postgresql": "SELECT setval(pg_get_serial_sequence('{table}', 'id'), {last})",
    "mysql": "ALTER TABLE {table} AUTO_INCREMENT = {next}",
}


def continue_after(model, last):
    """Let the next row of an empty table have a key above this one, as in a shop that has run for a while."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"DELETE FROM sqlite_sequence WHERE name = '{table}'")
        cursor.execute(NEXT_KEY[connection.vendor].format(table=table, last=last, next=last + 1))


@pytest.fixture
def _old_shop(kaspi, drain, post_webhook, fake_clock):
    """Let every table have a row whose key is above a thousand."""
    for model in (Order, Delivery, *OURS):
        continue_after(model, THOUSAND - 1)
    Order.objects.create()
    drain()
    kaspi.faults.add(Fault(operation="cancel", status=409))
    delivery = Delivery.objects.get()
    for status in ("accepted", "created"):
        post_webhook(event(delivery, status, event_id=f"wh_{status}"))
    WebhookEvent.objects.filter(event_id="wh_created").update(state="failed")
    cancel_delivery(delivery, reason="out of stock")
    drain()
    PendingAction.objects.create(name="retry", delivery=delivery, created_at=fake_clock.now)
    assert {model.objects.order_by("pk").first().pk for model in (Order, Delivery, *OURS)} == {THOUSAND}


def addresses():
    """Return the addresses of our admin's pages, of the shop's pages of the order, and of the customer's page."""
    app = get_resolver().namespace_dict["admin"][1]
    names = {name for name in app.reverse_dict if isinstance(name, str) and name.startswith("kaspi_delivery_")}
    newest = {model._meta.model_name: model.objects.latest("pk") for model in (Delivery, *OURS)}
    for name in sorted(names):
        model, _, kind = name.removeprefix("kaspi_delivery_").rpartition("_")
        if kind in {"changelist", "add"}:
            yield reverse(f"admin:{name}")
        elif kind in {"change", "history"} and model in newest:
            yield reverse(f"admin:{name}", args=[newest[model].pk])
    yield DASHBOARD
    yield reverse("admin:kaspi_delivery_labels")
    confirmed = {"delivery": "cancel", "webhookevent": "replay", "pendingaction": "dismiss"}
    for model, action in confirmed.items():
        yield reverse(f"admin:kaspi_delivery_{model}_exit", args=[newest[model].pk, action])
    yield reverse("admin:shop_order_change", args=[THOUSAND])
    yield reverse("admin:shop_order_changelist")
    yield tracking_path(newest["delivery"])


def pages_of(client, settings, *, separator):
    """Return the text of each page, with the setting on or off."""
    settings.USE_THOUSAND_SEPARATOR = separator
    pages = {address: client.get(address) for address in addresses()}
    pages["bulk"] = client.post(LIST, {"action": "refresh_deliveries", "_selected_action": [THOUSAND]})
    assert {page.status_code for page in pages.values()} <= {200, 403}
    return {address: page.content.decode() for address, page in pages.items()}


@pytest.mark.usefixtures("_old_shop")
def test_no_value_depends_on_how_numbers_are_written(admin_client, settings, monkeypatch):
    """Every attribute, script and style of every page is the same with USE_THOUSAND_SEPARATOR as without.

    A drawing has plain numbers, and the hidden fields of a bulk action's confirmation name the row.
    """
    settings.LANGUAGE_CODE = "ru"
    monkeypatch.setattr(dashboard, "SHORTEST", 7_000.5)  # a number that a separator or a decimal comma would break
    plain, separated = (pages_of(admin_client, settings, separator=separator) for separator in (False, True))
    assert len(plain) > 20
    for address, page in plain.items():
        assert Values(separated[address]).found == Values(page).found, address
    drawn = Values(plain[DASHBOARD]).found
    assert {float(value) for tag, name, value in drawn if tag == "rect" and name in {"width", "height"}} == {7000.5, 8}
    inputs = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', separated["bulk"]))
    assert admin_client.post(LIST, inputs, follow=True).status_code == 200
    assert LogEntry.objects.filter(object_id=str(THOUSAND)).count() == 1


def test_a_text_key_is_linked_as_it_is(admin_client, booked):
    """The admin reads it back from the address of the order's page."""
    for key in ("A_5F1", "742/1", "заказ 742", "a?b#c"):
        Delivery.objects.update(object_id=key)
        [link] = re.findall(r'<a href="(/admin/shop/order/[^"]*/change/)"', change_page(admin_client, booked))
        assert unquote(resolve(unquote_url(link)).kwargs["object_id"]) == key
