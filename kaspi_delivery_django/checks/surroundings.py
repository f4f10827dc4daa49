"""What other apps of the project do to our rows: cascades, caches, addresses with a language."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.core.checks import CheckMessage
from django.core.checks import Warning as Caution
from django.db import models
from django.urls import LocalePrefixPattern, URLResolver, get_resolver

from kaspi_delivery_django.checks.installation import has_webhook

APP_LABEL = "kaspi_delivery"


def check_generic_relations(**_kwargs: Any) -> list[CheckMessage]:
    """W026: deleting an order deletes its deliveries, which Kaspi still delivers."""
    found: list[CheckMessage] = []
    for model, field in _generic_relations():
        name = f"{model._meta.label}.{field.name}"
        text = f"{name} is a GenericRelation: deleting a row deletes its deliveries, their calls and their history."
        hint = (
            f"Take {name} out. `tracking.delivery_of(order)` and `Delivery.objects.of_order(content_type, key)` find"
            " deliveries without it."
        )
        found.append(Caution(text, hint=hint, obj=model, id="kaspi_delivery.W026"))
    return found


def check_language_prefix(**_kwargs: Any) -> list[CheckMessage]:
    """W027: the webhook's address begins with a language, so Kaspi is redirected or answered 404."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    resolver = get_resolver()
    if not has_webhook(resolver) or has_webhook(resolver, is_skipped=_has_language_prefix):
        return []
    text = "kaspi_delivery_django.urls are inside i18n_patterns: the webhook's address begins with a language."
    hint = f'Move include("kaspi_delivery_django.urls") out of i18n_patterns() in {settings.ROOT_URLCONF}.'
    return [Caution(text, hint=hint, id="kaspi_delivery.W027")]


def check_orm_caches(**_kwargs: Any) -> list[CheckMessage]:
    """W028: a cache of the ORM answers our queries with rows as they were."""
    found: list[CheckMessage] = []
    for name, hint in _caching():
        text = f"{name} caches the rows of kaspi_delivery, so decisions are made on rows as they were."
        found.append(Caution(text, hint=hint, id="kaspi_delivery.W028"))
    return found


def _generic_relations() -> Iterator[tuple[type[models.Model], GenericRelation]]:
    for model in apps.get_models():
        for field in model._meta.private_fields:
            related = field.related_model
            if isinstance(field, GenericRelation) and getattr(related, "_meta", None) in _our_metas():
                yield model, field


def _our_metas() -> list[Any]:
    return [model._meta for model in apps.get_app_config(APP_LABEL).get_models()]


def _has_language_prefix(entry: URLResolver) -> bool:
    """Tell whether addresses below it always begin with a language."""
    pattern = entry.pattern
    return isinstance(pattern, LocalePrefixPattern) and pattern.prefix_default_language


def _caching() -> Iterator[tuple[str, str]]:
    if apps.is_installed("cacheops") and any(map(_is_in_cacheops, apps.get_app_config(APP_LABEL).get_models())):
        yield "cacheops", 'Write "kaspi_delivery.*": None in CACHEOPS.'
    if apps.is_installed("cachalot") and _is_in_cachalot():
        yield "cachalot", 'Write CACHALOT_UNCACHABLE_APPS = ("kaspi_delivery",).'


def _is_in_cacheops(model: type[models.Model]) -> bool:
    """Read CACHEOPS as cacheops does: the most exact entry counts, and without `ops` nothing is cached by itself."""
    profiles = {str(name).lower(): profile for name, profile in (getattr(settings, "CACHEOPS", None) or {}).items()}
    names = (f"{APP_LABEL}.{model._meta.model_name}", f"{APP_LABEL}.*", "*.*")
    profile = next((profiles[name] for name in names if name in profiles), None)
    defaults = getattr(settings, "CACHEOPS_DEFAULTS", None) or {}
    return profile is not None and bool({**defaults, **profile}.get("ops"))


def _is_in_cachalot() -> bool:
    only = getattr(settings, "CACHALOT_ONLY_CACHABLE_APPS", ())
    is_left_out = APP_LABEL in getattr(settings, "CACHALOT_UNCACHABLE_APPS", ()) or (only and APP_LABEL not in only)
    return getattr(settings, "CACHALOT_ENABLED", True) and not is_left_out
