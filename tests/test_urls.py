"""Where the webhook lives, and how the host's transactions leave it alone."""

import pytest
from django.db import connections
from django.urls import resolve, reverse

from kaspi_delivery_django import urls


@pytest.mark.parametrize(
    ("path", "name", "kwargs"),
    [
        ("/kaspi/webhook", "webhook", {}),
        ("/kaspi/webhook/", "webhook", {}),
        ("/kaspi/webhook/almaty", "account-webhook", {"account": "almaty"}),
        ("/kaspi/webhook/al-ma_ty1/", "account-webhook", {"account": "al-ma_ty1"}),
    ],
)
def test_each_address_has_its_name(path, name, kwargs):
    """With and without the slash."""
    found = resolve(path)
    assert (found.view_name, found.kwargs) == (f"kaspi_delivery:{name}", kwargs)


def test_addresses_can_be_reversed():
    """A host prints them for the partner console."""
    assert reverse("kaspi_delivery:webhook") in {"/kaspi/webhook", "/kaspi/webhook/"}
    path = reverse("kaspi_delivery:account-webhook", kwargs={"account": "almaty"})
    assert resolve(path).kwargs == {"account": "almaty"}


def test_no_database_wraps_the_view_in_a_transaction():
    """ATOMIC_REQUESTS is read per alias, so each is named."""
    assert urls.webhook._non_atomic_requests == set(connections)


def test_the_view_asks_for_no_login_and_no_token():
    """Kaspi has neither; the signature is what opens it."""
    assert urls.webhook.csrf_exempt
    assert not urls.webhook.login_required
