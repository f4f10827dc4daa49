"""The page of relayed webhooks: what staff see, and sending again."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import translation

from kaspi_delivery_django.contrib.relay import sending
from kaspi_delivery_django.contrib.relay.models import RelayedEvent
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.signals import delivery_needs_attention
from tests.relay.erp import SECRET

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "admin:kaspi_delivery_relay_relayedevent_changelist"
PAGE = "admin:kaspi_delivery_relay_relayedevent_change"
ASK = "admin:kaspi_delivery_relay_relayedevent_exit"


@pytest.fixture
def staff(client, django_user_model):
    """Log a staff user in, with these permissions."""

    def log_in(*codenames):
        user = django_user_model.objects.create_user("aliya", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def row(relayed, due):
    """Return an event that the ERP wants no more of."""
    delivery_needs_attention.send(Delivery, delivery=due.delivery, attention="refused")
    relayed.answers.append((410, {}))
    sending.run(limit=10)
    return RelayedEvent.objects.get()


def test_the_list_shows_what_was_not_sent_and_why(staff, row):
    """In the reader's language; no address and no secret."""
    client = staff("view_relayedevent", "view_delivery")
    page = client.get(reverse(LIST), {"state": "failed"}).content.decode()
    assert "410 from the endpoint: it wants no more of them" in page
    assert (row.message_id in page, SECRET in page, "127.0.0.1" in page) == (True, False, False)
    assert row.message_id not in client.get(reverse(LIST), {"state": "sent"}).content.decode()
    page = client.get(reverse(PAGE, args=[row.pk])).content.decode()
    assert ("delivery.needs_attention" in page, row.key in page) == (True, False)


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


def test_it_is_found_by_its_delivery_and_its_id(staff, row):
    """As staff and the ERP's people name it."""
    client = staff("view_relayedevent")
    for term, is_found in ((row.message_id, True), (str(row.delivery), True), ("order-0", False)):
        page = client.get(reverse(LIST), {"q": term}).content.decode()
        assert (reverse(PAGE, args=[row.pk]) in page) is is_found


def test_it_is_filtered_by_the_endpoint_where_there_are_several(staff, row, relay_to, relayed):
    """And the list opens when the settings are wrong."""
    client = staff("view_relayedevent")
    assert "?endpoint=" not in client.get(reverse(LIST)).content.decode()
    relay_to(erp=relayed, other=relayed)
    page = client.get(reverse(LIST)).content.decode()
    assert "?endpoint=other" in page
    relay_to(erp={})
    assert client.get(reverse(LIST)).status_code == 200


def test_staff_send_it_again(staff, row, relayed, turnable):
    """After a question, with the same id; also what has arrived, should the ERP have lost it."""
    client = staff("view_relayedevent", "retry_delivery")
    url = reverse(ASK, args=[row.pk, "send_again"])
    assert "the same webhook-id" in client.get(url).content.decode()
    assert "sent in the worker" in client.post(url, follow=True).content.decode()
    assert "pending already" in client.post(url, follow=True).content.decode()
    assert sending.run(limit=10) == 1
    client.post(url)
    assert sending.run(limit=10) == 1
    assert relayed.ids == [row.message_id] * 3


def test_several_are_sent_again(staff, row, relayed):
    """By an action of the list, which asks as well."""
    client = staff("view_relayedevent", "retry_delivery")
    chosen = {"action": "send_again", "_selected_action": [row.pk]}
    assert client.post(reverse(LIST), chosen).status_code == 200
    client.post(reverse(LIST), {**chosen, "apply": "1", "asked_about": str(row.pk)})
    assert sending.run(limit=10) == 1


def test_without_the_permission_nothing_is_sent_again(staff, row):
    """Nor changed, added or deleted."""
    client = staff("view_relayedevent")
    assert client.post(reverse(ASK, args=[row.pk, "send_again"])).status_code == 403
    assert client.post(reverse(LIST), {"action": "send_again", "_selected_action": [row.pk]}).status_code == 403
    assert RelayedEvent.objects.get().state == "failed"
    page = client.get(reverse(PAGE, args=[row.pk])).content.decode()
    assert row.message_id in page
    assert "Send again" not in page
