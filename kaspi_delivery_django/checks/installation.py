"""What the project has installed, and whether Kaspi finds the webhook."""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Warning as Caution
from django.urls import URLResolver, get_resolver

APP_NAME = "kaspi_delivery"
VIEW = "WebhookView"
FLOORS = (  # the oldest with their security fixes; a series of its own has one of its own
    ("django", ((5, 2, 17), (6, 0, 8))),
    ("rest_framework", ((3, 17, 2),)),
    ("requests", ((2, 32, 4),)),
    ("environ", ((0, 11, 2),)),
)


def check_versions(**_kwargs: Any) -> list[CheckMessage]:
    """W006: a library is older than the one this app is tested and safe with."""
    found: list[CheckMessage] = []
    for name, floors in FLOORS:
        library = import_module(name)
        version = _numbers(library.__version__)
        floor = next((one for one in floors if one[:2] == version[:2]), floors[0])
        if version < floor:
            text = f"{name} {library.__version__} is too old."
            hint = f"Upgrade it to {'.'.join(map(str, floor))} or newer: pip install -U kaspi-delivery-django."
            found.append(Caution(text, hint=hint, id="kaspi_delivery.W006"))
    return found


def check_webhook_route(**_kwargs: Any) -> list[CheckMessage]:
    """W007: the URLconf has no place for Kaspi's webhooks."""
    if not getattr(settings, "ROOT_URLCONF", None) or has_webhook(get_resolver()):
        return []
    hint = f'Write path("kaspi/", include("kaspi_delivery_django.urls")) in {settings.ROOT_URLCONF}.'
    text = "The URLconf does not include kaspi_delivery_django.urls: Kaspi's webhooks are answered 404."
    return [Caution(text, hint=hint, id="kaspi_delivery.W007")]


def check_apps(**_kwargs: Any) -> list[CheckMessage]:
    """W018: REST framework is used, and not installed as an app."""
    if apps.is_installed("rest_framework"):
        return []
    hint = 'Write "rest_framework" into INSTALLED_APPS, before "kaspi_delivery_django".'
    text = "rest_framework is not in INSTALLED_APPS: its templates and translations are missing."
    return [Caution(text, hint=hint, id="kaspi_delivery.W018")]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def has_webhook(resolver: URLResolver, *, is_skipped: Callable[[URLResolver], bool] = lambda _entry: False) -> bool:
    """Look for our URLs, included anywhere, or for our view, routed by hand."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            if not is_skipped(entry) and (entry.app_name == APP_NAME or has_webhook(entry, is_skipped=is_skipped)):
                return True
        elif entry.lookup_str.startswith("kaspi_delivery_django.") and entry.lookup_str.endswith(VIEW):
            return True
    return False
