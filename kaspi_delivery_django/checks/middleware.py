"""Whether the host's middleware leaves the webhook's commit to us."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Warning as Caution
from django.utils.module_loading import import_string

_ATOMIC = re.compile(r"\batomic\b")
_EXEMPT = re.compile(r"_non_atomic_requests|kaspi_delivery")
_OTHERS = ("django.", "kaspi_delivery_django.")


def check_middleware(**_kwargs: Any) -> list[CheckMessage]:
    """W022: a middleware seems to open a transaction around every view."""
    found: list[CheckMessage] = []
    for name in _wrapping():
        text = f"{name} seems to wrap views in transaction.atomic(): then every webhook is answered 503."
        hint = (
            "Kaspi's 2xx must mean that the event is committed. Call get_response outside of atomic() where"
            ' request.path_info starts with the path of "kaspi_delivery:webhook", or use ATOMIC_REQUESTS instead.'
        )
        found.append(Caution(text, hint=hint, id="kaspi_delivery.W022"))
    return found


def _wrapping() -> Iterator[str]:
    """Yield the host's own middleware whose source opens a transaction and makes no exception for us."""
    for name in settings.MIDDLEWARE:
        source = "" if name.startswith(_OTHERS) else _source(name)
        if _ATOMIC.search(source) and not _EXEMPT.search(source):
            yield name


def _source(name: str) -> str:
    try:
        return inspect.getsource(import_string(name))
    except (ImportError, OSError, TypeError):  # Django itself reports what cannot be imported
        return ""
