"""Who may use the API, how often, and what a body may be."""

from io import BytesIO
from typing import Any

from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import UserRateThrottle

from kaspi_delivery_django.api.problems import Problem

APP = "kaspi_delivery"
MAX_BODY_BYTES = 64 * 1024


def may(user: Any, codename: str) -> bool:
    """Return whether the user has one of our permissions. The host may have no user at all."""
    return bool(user and user.has_perm(f"{APP}.{codename}"))


def require(user: Any, codename: str) -> None:
    """Raise `Problem` without the permission."""
    if not may(user, codename):
        raise Problem("permission_denied", f"It needs the permission {APP}.{codename}.")


class CanView(BasePermission):
    """Let those in who are logged in and may view what the endpoint shows, whatever the host's defaults are."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Ask for the admin's own permissions, which the view names."""
        user: Any = request.user
        missing = [name for name in view.permissions_to_view if not may(user, name)]
        self.message = " ".join(f"It needs the permission {APP}.{name}." for name in missing)
        return bool(user and user.is_authenticated) and not missing


class DeliveryThrottle(UserRateThrottle):
    """Limits each user to the rate that the host has for the scope `kaspi_delivery`; without one there is no limit."""

    scope = APP

    def get_rate(self) -> Any:
        """Read the rate as it is now."""
        return api_settings.DEFAULT_THROTTLE_RATES.get(self.scope)


class AnyAccept(DefaultContentNegotiation):
    """Answers with JSON, whatever `Accept` says."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        """Choose the only renderer."""
        return renderers[0], renderers[0].media_type


class BoundedJSONParser(JSONParser):
    """Reads a JSON body of at most 64 KiB."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the body as values. Raises `Problem`, or `ParseError`."""
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise Problem("too_large", f"The body has more than {MAX_BODY_BYTES} bytes.")
        try:
            return super().parse(BytesIO(body), media_type, parser_context)
        except RecursionError as err:
            raise exceptions.ParseError("The body is nested too deeply.") from err
