"""Checks of the project: apps, versions, routes, middleware, and other apps that touch our rows."""

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.core.checks import CheckMessage
from django.core.checks import Warning as Caution
from django.db import models
from django.urls import LocalePrefixPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

APP_NAME = "kaspi_delivery"
VIEW = "WebhookView"


MINIMUM_VERSIONS = (  # the oldest with their security fixes; a series of its own has one of its own
    ("django", ((5, 2, 17), (6, 0, 8))),
    ("rest_framework", ((3, 17, 2),)),
    ("requests", ((2, 32, 4),)),
    ("environ", ((0, 11, 2),)),
)


def check_versions(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W006: a library is older than the one this app is tested and safe with."""
    for name, floors in MINIMUM_VERSIONS:
        library = import_module(name)
        version = tuple(int(number) for number in re.findall(r"\d+", library.__version__)[:3])
        floor = next((one for one in floors if one[:2] == version[:2]), floors[0])
        if version < floor:
            text = f"{name} {library.__version__} is too old."
            hint = f"Upgrade it to {'.'.join(map(str, floor))} or newer: pip install -U kaspi-delivery-django."
            yield Caution(text, hint=hint, id="kaspi_delivery.W006")


def check_webhook_route(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W007: the URLconf has no place for Kaspi's webhooks."""
    if getattr(settings, "ROOT_URLCONF", None) and not has_webhook(get_resolver()):
        hint = f'Write path("kaspi/", include("kaspi_delivery_django.urls")) in {settings.ROOT_URLCONF}.'
        text = "The URLconf does not include kaspi_delivery_django.urls: Kaspi's webhooks are answered 404."
        yield Caution(text, hint=hint, id="kaspi_delivery.W007")


def check_apps(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W018: REST framework is used, and not installed as an app."""
    if not apps.is_installed("rest_framework"):
        hint = 'Write "rest_framework" into INSTALLED_APPS, before "kaspi_delivery_django".'
        text = "rest_framework is not in INSTALLED_APPS: its templates and translations are missing."
        yield Caution(text, hint=hint, id="kaspi_delivery.W018")


def has_webhook(resolver: URLResolver, *, is_skipped: Callable[[URLResolver], bool] = lambda _entry: False) -> bool:
    """Look for our URLs, included anywhere, or for our view, routed by hand."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            if not is_skipped(entry) and (entry.app_name == APP_NAME or has_webhook(entry, is_skipped=is_skipped)):
                return True
        elif entry.lookup_str.startswith("kaspi_delivery_django.") and entry.lookup_str.endswith(VIEW):
            return True
    return False


_ATOMIC = re.compile(r"\batomic\b")
_EXEMPT = re.compile(r"_non_atomic_requests|kaspi_delivery")
_OTHERS = ("django.", "kaspi_delivery_django.")


def check_middleware(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W022: a middleware seems to open a transaction around every view."""
    for name in settings.MIDDLEWARE:  # the host's own whose source makes no exception for us
        source = "" if name.startswith(_OTHERS) else _source(name)
        if not _ATOMIC.search(source) or _EXEMPT.search(source):
            continue
        text = f"{name} seems to wrap views in transaction.atomic(): then every webhook is answered 503."
        hint = (
            "Kaspi's 2xx must mean that the event is committed. Call get_response outside of atomic() where"
            ' request.path_info starts with the path of "kaspi_delivery:webhook", or use ATOMIC_REQUESTS instead.'
        )
        yield Caution(text, hint=hint, id="kaspi_delivery.W022")


def _source(name: str) -> str:
    try:
        return inspect.getsource(import_string(name))
    except (ImportError, OSError, TypeError):  # Django itself reports what cannot be imported
        return ""


def check_generic_relations(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W026: deleting an order deletes its deliveries, which Kaspi still delivers."""
    for model, field in _generic_relations():
        name = f"{model._meta.label}.{field.name}"
        text = f"{name} is a GenericRelation: deleting a row deletes its deliveries, their calls and their history."
        hint = (
            f"Take {name} out. `tracking.delivery_of(order)` and `Delivery.objects.of_order(content_type, key)` find"
            " deliveries without it."
        )
        yield Caution(text, hint=hint, obj=model, id="kaspi_delivery.W026")


def check_language_prefix(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W027: the webhook's address begins with a language, so Kaspi is redirected or answered 404."""
    resolver = get_resolver() if getattr(settings, "ROOT_URLCONF", None) else None
    if resolver and has_webhook(resolver) and not has_webhook(resolver, is_skipped=_has_language_prefix):
        text = "kaspi_delivery_django.urls are inside i18n_patterns: the webhook's address begins with a language."
        hint = f'Move include("kaspi_delivery_django.urls") out of i18n_patterns() in {settings.ROOT_URLCONF}.'
        yield Caution(text, hint=hint, id="kaspi_delivery.W027")


def check_orm_caches(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W028: a cache of the ORM answers our queries with rows as they were."""
    for name, hint in _caching():
        text = f"{name} caches the rows of kaspi_delivery, so decisions are made on rows as they were."
        yield Caution(text, hint=hint, id="kaspi_delivery.W028")


def _generic_relations() -> Iterator[tuple[type[models.Model], GenericRelation]]:
    ours = [model._meta for model in apps.get_app_config(APP_NAME).get_models()]
    for model in apps.get_models():
        for field in model._meta.private_fields:
            if isinstance(field, GenericRelation) and getattr(field.related_model, "_meta", None) in ours:
                yield model, field


def _has_language_prefix(entry: URLResolver) -> bool:
    """Return whether addresses below it always begin with a language."""
    pattern = entry.pattern
    return isinstance(pattern, LocalePrefixPattern) and pattern.prefix_default_language


def _caching() -> Iterator[tuple[str, str]]:
    if apps.is_installed("cacheops") and any(map(_is_in_cacheops, apps.get_app_config(APP_NAME).get_models())):
        yield "cacheops", 'Write "kaspi_delivery.*": None in CACHEOPS.'
    if apps.is_installed("cachalot") and _is_in_cachalot():
        yield "cachalot", 'Write CACHALOT_UNCACHABLE_APPS = ("kaspi_delivery",).'


def _is_in_cacheops(model: type[models.Model]) -> bool:
    """Read CACHEOPS as cacheops does: the most exact entry counts, and without `ops` nothing is cached by itself."""
    profiles = {str(name).lower(): profile for name, profile in (getattr(settings, "CACHEOPS", None) or {}).items()}
    names = (f"{APP_NAME}.{model._meta.model_name}", f"{APP_NAME}.*", "*.*")
    profile = next((profiles[name] for name in names if name in profiles), None)
    defaults = getattr(settings, "CACHEOPS_DEFAULTS", None) or {}
    return profile is not None and bool({**defaults, **profile}.get("ops"))


def _is_in_cachalot() -> bool:
    only = getattr(settings, "CACHALOT_ONLY_CACHABLE_APPS", ())
    is_left_out = APP_NAME in getattr(settings, "CACHALOT_UNCACHABLE_APPS", ()) or (only and APP_NAME not in only)
    return getattr(settings, "CACHALOT_ENABLED", True) and not is_left_out
