"""Pages by cursor: each page costs the same, however far down the list it is."""

from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework import exceptions
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from kaspi_delivery_django.api.problems import Problem

PAGE_SIZE, MAX_PAGE_SIZE = 50, 200
MAX_CURSOR_LENGTH = 300
MAX_ID = 2**63 - 1
BY_AGE = frozenset({"created_after", "created_before"})


class KeyPagination(CursorPagination):
    """The newest row first."""

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


class DeliveryPagination(KeyPagination):
    """The newest delivery first: by its id, or by the time that the request limits.

    Where an old time is the limit, the order of the ids would read through all newer rows first.
    """

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        """Return the order that an index has for the request."""
        return ("-created_at", "-id") if BY_AGE & request.query_params.keys() else ("-id",)


class EventPagination(KeyPagination):
    """The newest event first; the oldest first of those that came after one."""

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        """Return the order of those that a program has not seen yet."""
        return ("id",) if "after" in request.query_params else ("-id",)
