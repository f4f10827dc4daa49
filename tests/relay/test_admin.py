"""The page of relayed webhooks: what staff see, and sending again."""

import pytest
from django.urls import reverse
from django.utils import translation

from kaspi_delivery_django.contrib.relay import sending
from kaspi_delivery_django.contrib.relay.models import RelayedEvent
from kaspi_delivery_django.services import errors
from tests.relay.conftest import flag
from tests.relay.erp import SECRET

pytestmark = pytest.mark.django_db

LIST = "/admin/kaspi_delivery_relay/relayedevent/"


@pytest.fixture
def row(relayed, delivery):
    """Return an event that the ERP wants no more of."""
    flag(delivery)
    relayed.answers.append((410, {}))
    sending.run(limit=10)
    return RelayedEvent.objects.get()


@pytest.fixture
def operator(staff, row):
    """Return a client of staff who may see webhooks and send them again."""
    return staff("view_relayedevent", "retry_delivery")


def read(client, url=LIST, **query):
    return client.get(url, query).content.decode()


def page_of(row):
    return reverse("admin:kaspi_delivery_relay_relayedevent_change", args=[row.pk])


def action_of(row):
    return reverse("admin:kaspi_delivery_relay_relayedevent_exit", args=[row.pk, "send_again"])


def test_the_list_shows_what_was_not_sent_and_why(operator, row):
    """No address and no secret; it is found by its delivery and by its id."""
    page = read(operator, state="failed")
    assert "410 from the endpoint: it wants no more of them" in page
    assert (row.message_id in page, SECRET in page, "127.0.0.1" in page) == (True, False, False)
    assert row.message_id not in read(operator, state="sent")
    page = read(operator, page_of(row))
    assert ("delivery.needs_attention" in page, row.key in page) == (True, False)
    found = {term: page_of(row) in read(operator, q=term) for term in (row.message_id, str(row.delivery), "order-0")}
    assert list(found.values()) == [True, True, False]


@pytest.mark.parametrize("language", ["ru", "kk"])
def test_what_is_stored_in_english_is_read_in_any_language(language):
    """Each text that a row may have."""
    texts = (
        "no answer from the endpoint: ReadTimeout",
        "503 from the endpoint",
        "410 from the endpoint: it wants no more",
    )
    with translation.override(language):
        assert not [text for text in texts if "endpoint" in errors.translated(text)]


def test_it_is_filtered_by_the_endpoint_where_there_are_several(operator, relay_to, relayed):
    """And the list opens when the settings are wrong."""
    assert "?endpoint=" not in read(operator)
    relay_to(erp=relayed, other=relayed)
    assert "?endpoint=other" in read(operator)
    relay_to(erp={})
    assert operator.get(LIST).status_code == 200


def test_staff_send_it_again(operator, row, relayed):
    """After a question, with the same id; also what has arrived, should the ERP have lost it; one or several."""
    assert "the same webhook-id" in read(operator, action_of(row))
    assert "sent in the worker" in operator.post(action_of(row), follow=True).content.decode()
    assert "pending already" in operator.post(action_of(row), follow=True).content.decode()
    assert sending.run(limit=10) == 1
    chosen = {"action": "send_again", "_selected_action": [row.pk]}
    assert operator.post(LIST, chosen).status_code == 200
    operator.post(LIST, {**chosen, "apply": "1", "asked_about": str(row.pk)})
    assert sending.run(limit=10) == 1
    assert relayed.ids == [row.message_id] * 3


def test_without_the_permission_nothing_is_sent_again(staff, row):
    """The page is shown without the button."""
    client = staff("view_relayedevent")
    assert client.post(action_of(row)).status_code == 403
    assert client.post(LIST, {"action": "send_again", "_selected_action": [row.pk]}).status_code == 403
    assert RelayedEvent.objects.get().state == "failed"
    page = read(client, page_of(row))
    assert (row.message_id in page, "Send again" in page) == (True, False)
