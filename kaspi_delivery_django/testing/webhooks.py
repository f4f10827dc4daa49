"""Post webhooks to the shop as Kaspi does: over https, through its middleware and urls.py, to the real view."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import conf
from kaspi_delivery_django.sandbox.webhooks import Sent, sign
from kaspi_delivery_django.testing.commits import committed


def address_of(account: str) -> str:
    """Return the path that an account's webhooks go to."""
    try:
        if account == conf.DEFAULT_ACCOUNT:
            return reverse("kaspi_delivery:webhook")
        return reverse("kaspi_delivery:account-webhook", args=[account])
    except NoReverseMatch as err:
        line = 'path("kaspi/", include("kaspi_delivery_django.urls"))'
        raise ImproperlyConfigured(f"Webhooks have no address: add {line} to your urls.py.") from err


def post(address: str, headers: dict[str, str], body: bytes) -> int:
    """Post what the sandbox has signed; `address` is an account, or where a test webhook was asked to go."""
    path = urlsplit(address).path if "/" in address else address_of(address)
    signed = {name: value for name, value in headers.items() if name.startswith("X-Kaspi-")}
    status: int = _post(path, body, signed).status_code
    return status


def post_signed(account: str, body: bytes, *, secret: str, timestamp: str) -> Any:
    """Sign a body, post it, and return the response of Django's test client."""
    headers = {"X-Kaspi-Timestamp": timestamp, "X-Kaspi-Signature": sign(secret, timestamp, body)}
    return _post(address_of(account), body, headers)


def check_taken(attempts: list[Sent]) -> None:
    """Raise `AssertionError` when the shop did not take a webhook."""
    for sent in attempts:
        if not HTTPStatus.OK <= sent.status < HTTPStatus.MULTIPLE_CHOICES:
            raise AssertionError(
                f"The webhook {sent.type} was answered {sent.status}, so Kaspi will send it again:"
                " does a middleware or another address stand before the view?"
            )


def _post(path: str, body: bytes, headers: dict[str, str]) -> Any:
    with committed():
        return Client(enforce_csrf_checks=True).post(
            path, body, content_type="application/json", headers=headers, secure=True
        )
