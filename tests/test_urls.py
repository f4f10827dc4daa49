"""Where the webhook and the customers' pages live, and how the host's transactions leave it alone."""

import importlib

import django.db
import pytest
from django.db import connections
from django.urls import resolve, reverse

from kaspi_delivery_django import urls
from kaspi_delivery_django.views import AccountWebhookView, TrackingView, WebhookView


@pytest.mark.parametrize(
    ("path", "name", "kwargs"),
    [
        ("/kaspi/webhook", "webhook", {}),
        ("/kaspi/webhook/", "webhook", {}),
        ("/kaspi/webhook/almaty", "account-webhook", {"account": "almaty"}),
        ("/kaspi/webhook/al-ma_ty1/", "account-webhook", {"account": "al-ma_ty1"}),
        ("/kaspi/track/1.a_-/", "tracking", {"token": "1.a_-"}),
        ("/kaspi/api/track/1.a_-/", "tracking-api", {"token": "1.a_-"}),
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


@pytest.mark.parametrize("pattern", urls.urlpatterns, ids=str)
def test_no_database_wraps_a_view_in_a_transaction(pattern):
    """ATOMIC_REQUESTS is read per alias, so each is named."""
    assert pattern.callback._non_atomic_requests >= set(connections)


@pytest.mark.failure_mode("webhook: ATOMIC_REQUESTS")
def test_atomic_requests_are_off_on_every_alias(monkeypatch):
    """A shop may have several databases, each with its own setting."""
    try:
        with monkeypatch.context() as shop:
            shop.setattr(django.db, "connections", ["default", "archive"])
            assert importlib.reload(urls).webhook._non_atomic_requests == {"default", "archive"}
    finally:
        importlib.reload(urls)


@pytest.mark.parametrize("pattern", urls.urlpatterns, ids=str)
def test_no_view_asks_for_a_login(pattern):
    """Neither Kaspi nor a customer has one; a signature is what opens it."""
    assert not pattern.callback.login_required


def test_the_webhook_asks_for_no_token():
    """Kaspi has none."""
    assert urls.webhook.csrf_exempt
    assert urls.account_webhook.csrf_exempt


def test_the_views_have_their_promised_names():
    """A shop may put them at addresses of its own."""
    assert urls.webhook.view_class is WebhookView
    assert issubclass(AccountWebhookView, WebhookView)
    assert urls.endpoint.view_class is TrackingView
