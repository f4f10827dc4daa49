"""The URLs of the webhook and the customers' pages."""

import importlib

import django.db
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
        ("/kaspi/track/1.a_-/", "tracking", {"token": "1.a_-"}),
        ("/kaspi/api/track/1.a_-/", "tracking-api", {"token": "1.a_-"}),
    ],
)
def test_each_address_has_its_name(path, name, kwargs):
    """With and without the slash, for anybody without a login, and it can be reversed."""
    found = resolve(path)
    assert not found.func.login_required
    assert (found.view_name, found.kwargs) == (f"kaspi_delivery:{name}", kwargs)
    assert resolve(reverse(found.view_name, kwargs=kwargs)).kwargs == kwargs


@pytest.mark.failure_mode("webhook: ATOMIC_REQUESTS")
def test_atomic_requests_are_off_on_every_alias(monkeypatch):
    """A shop may have several databases, each with its own setting."""
    for pattern in urls.urlpatterns:
        assert pattern.callback._non_atomic_requests >= set(connections)
    try:
        with monkeypatch.context() as shop:
            shop.setattr(django.db, "connections", ["default", "archive"])
            assert importlib.reload(urls).webhook._non_atomic_requests == {"default", "archive"}
    finally:
        importlib.reload(urls)
