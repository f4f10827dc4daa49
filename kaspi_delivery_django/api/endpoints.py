"""What all endpoints share: JSON alone, the host's authentication, our permissions, limits, pages and problems."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, TypeVar

from django.db import connections, models, transaction
from django.utils.cache import patch_cache_control
from django.utils.dateparse import parse_datetime
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle, UserRateThrottle
from rest_framework.viewsets import GenericViewSet

from kaspi_delivery_django.api import problems
from kaspi_delivery_django.api.bodies import StrictSerializer
from kaspi_delivery_django.api.problems import Problem

Row = TypeVar("Row", bound=models.Model)
Values = Mapping[str, Any]
APP = "kaspi_delivery"
MAX_BODY_BYTES = 64 * 1024
PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
MAX_CURSOR_LENGTH = 300
MAX_ID = 2**63 - 1


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
        user: Any = request.user
        missing = [name for name in view.permissions_to_view if not may(user, name)]
        self.message = " ".join(f"It needs the permission {APP}.{name}." for name in missing)
        return bool(user and user.is_authenticated) and not missing


class DeliveryThrottle(UserRateThrottle):
    """Limits each user to the rate that the host has for the scope `kaspi_delivery`; without one there is no limit."""

    scope = APP

    def get_rate(self) -> Any:
        return api_settings.DEFAULT_THROTTLE_RATES.get(self.scope)


class AnyAccept(DefaultContentNegotiation):
    """Answers with JSON, whatever `Accept` says."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
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


class KeyPagination(CursorPagination):
    """Pages by cursor, the newest row first: each costs the same, however far down the list it is."""

    ordering = ("-id",)
    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def decode_cursor(self, request: Request) -> Any:
        """Return the cursor. Raises `Problem` for one that is not of this list."""
        if len(request.query_params.get(self.cursor_query_param, "")) > MAX_CURSOR_LENGTH:
            raise Problem("invalid_cursor")
        try:
            cursor: Any = super().decode_cursor(request)
        except exceptions.NotFound as err:
            raise Problem("invalid_cursor") from err
        if cursor is not None and cursor.position is not None and not self._is_position(cursor.position):
            raise Problem("invalid_cursor")
        return cursor

    def _is_position(self, text: str) -> bool:
        if self.ordering[0].removeprefix("-") == "id":
            return text.isascii() and text.isdigit() and int(text) <= MAX_ID
        try:
            at = parse_datetime(text)
        except ValueError:
            return False
        return at is not None and at.tzinfo is not None and 2000 <= at.year < 2200  # noqa: PLR2004  # each engine can


class Endpoint(GenericViewSet[Row]):
    """The parent of our views. The host's REST framework settings decide about authentication and throttles alone."""

    permissions_to_view: Sequence[str] = ()
    permission_classes = (CanView,)
    filter_backends = ()
    parser_classes = (BoundedJSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AnyAccept
    versioning_class = None
    lookup_value_regex = "[^/]+"  # also what is no id gets our own 404
    metadata_class = None

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        """Exempt the view from ATOMIC_REQUESTS: its own transaction ends before the answer leaves."""
        view: Any = super().as_view(*args, **kwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    def get_throttles(self) -> list[BaseThrottle]:
        return [*super().get_throttles(), DeliveryThrottle()]

    def get_exception_handler(self) -> Any:
        return problems.handle

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep answers, which have personal data, out of every cache."""
        final: Any = super().finalize_response(request, response, *args, **kwargs)
        patch_cache_control(final, private=True, no_store=True)
        return final


def read_values(kind: type[StrictSerializer], given: Any) -> Values:
    """Return the values. Raises `ValidationError`."""
    values = kind(data=given)
    values.is_valid(raise_exception=True)
    found: Values = values.validated_data
    return found
