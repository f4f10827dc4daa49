"""Post webhooks to the shop as Kaspi does: over https, through its middleware and urls.py, to the real view."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import conf
from kaspi_delivery_django.sandbox.webhooks import Attempt, sign
from kaspi_delivery_django.testing.environment import committed


def path_of(account: str) -> str:
    """Return the path of an account's webhook."""
    try:
        if account == conf.DEFAULT_ACCOUNT:
            return reverse("kaspi_delivery:webhook")
        return reverse("kaspi_delivery:account-webhook", args=[account])
    except NoReverseMatch as err:
        line = 'path("kaspi/", include("kaspi_delivery_django.urls"))'
        raise ImproperlyConfigured(f"The webhook has no URL: add {line} to your urls.py.") from err


def post(target: str, headers: dict[str, str], body: bytes) -> int:
    """Post a webhook that the sandbox has signed; `target` is an account, or the URL of a test webhook."""
    path = urlsplit(target).path if "/" in target else path_of(target)
    signed = {name: value for name, value in headers.items() if name.startswith("X-Kaspi-")}
    status: int = _post(path, body, signed).status_code
    return status


def post_signed(account: str, body: bytes, *, secret: str, timestamp: str) -> Any:
    """Sign a body, post it, and return the response of Django's test client."""
    headers = {"X-Kaspi-Timestamp": timestamp, "X-Kaspi-Signature": sign(secret, timestamp, body)}
    return _post(path_of(account), body, headers)


def check_accepted(attempts: list[Attempt]) -> None:
    """Raise `AssertionError` if the shop did not accept a webhook."""
    for sent in attempts:
        if not HTTPStatus.OK <= sent.status < HTTPStatus.MULTIPLE_CHOICES:
            raise AssertionError(
                f"The shop responded {sent.status} to the webhook {sent.type}, so Kaspi will send it again:"
                " check the middleware and the URLs before the view."
            )


def _post(path: str, body: bytes, headers: dict[str, str]) -> Any:
    with committed():
        return Client(enforce_csrf_checks=True).post(
            path, body, content_type="application/json", headers=headers, secure=True
        )
