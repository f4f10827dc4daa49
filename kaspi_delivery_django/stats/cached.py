"""Figures in Django's default cache. A cache that is away only costs the time to count them again."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.cache import cache

from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import db_connection

logger = logging.getLogger(__name__)


def recall(names: Sequence[str]) -> Mapping[str, Any]:
    """Return the cached figures by their names; none if the cache is unavailable."""
    prefix = _prefix()
    try:
        found = cache.get_many([prefix + name for name in names])
    except Exception as err:  # noqa: BLE001  # each backend has errors of its own
        logger.warning("cache not read: error=%s", errors.describe(err))
        return {}
    return {name.removeprefix(prefix): value for name, value in found.items()}


def keep(name: str, figures: Any, seconds: int) -> None:
    """Cache a figure. Its name has printable ASCII without spaces, as every backend takes it."""
    try:
        cache.set(_prefix() + name, figures, seconds)
    except Exception as err:  # noqa: BLE001  # the same
        logger.warning("cache not written: error=%s", errors.describe(err))


def _prefix() -> str:
    """Name the tables that are counted: tenants may share a cache and an alias, and have a schema each."""
    connection = db_connection()
    named = (connection.alias, connection.settings_dict["NAME"], getattr(connection, "schema_name", ""))
    return f"kaspi_delivery:{hashlib.sha256(repr(named).encode()).hexdigest()[:16]}:"
