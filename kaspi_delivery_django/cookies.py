"""Take the cookies off a webhook's request before the host's middleware sees them.

Neither Kaspi nor we have a use for them, and a stranger's session cookie would cost the host a query before the
signature is looked at: `LoginRequiredMiddleware` of Django 5.2 asks for the user first, and SESSION_SAVE_EVERY_REQUEST
saves whatever session is named.
"""

from typing import Any

from django.core.signals import request_started
from django.urls import resolve


def connect() -> None:
    """Listen to the start of each request, which is before any middleware."""
    request_started.connect(drop_cookies, dispatch_uid="kaspi_delivery.drop_cookies")


def drop_cookies(environ: dict[str, Any] | None = None, scope: dict[str, Any] | None = None, **_signal: Any) -> None:
    """Forget the Cookie header of a request to the webhook; any other request is left as it is."""
    if environ is not None and "HTTP_COOKIE" in environ and _is_webhook(environ.get("PATH_INFO", "")):
        del environ["HTTP_COOKIE"]
    if scope is not None and _is_webhook(scope["path"].removeprefix(scope.get("root_path", ""))):
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() != b"cookie"]


def _is_webhook(path: str) -> bool:
    """Tell whether the path leads to a view of ours that reads no cookie.

    The view says so itself: importing it here would load REST framework in every process. Whatever the host's
    URLconf raises is the request's own to meet.
    """
    if "hook" not in path:  # a host's other requests pay no more than this
        return False
    try:
        view: Any = resolve(path).func
    except Exception:  # noqa: BLE001  # no such page, or a URLconf that cannot be imported
        return False
    return getattr(getattr(view, "cls", None), "reads_no_cookie", False)
