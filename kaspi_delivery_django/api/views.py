"""The endpoints: list, read and book deliveries, each action of staff; and the list of webhook events."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kaspi_delivery_django import services
from kaspi_delivery_django.api import idempotency
from kaspi_delivery_django.api.bodies import (
    BookBody,
    CancelBody,
    ConfirmBody,
    LinkBody,
    NothingBody,
    ReturnBody,
    StrictSerializer,
)
from kaspi_delivery_django.api.booking import book, book_return
from kaspi_delivery_django.api.endpoints import MAX_ID, Endpoint, KeyPagination, Values, may, read_values, require
from kaspi_delivery_django.api.filters import EventParameters, ListParameters, filtered
from kaspi_delivery_django.api.idempotency import Outcome
from kaspi_delivery_django.api.problems import Problem
from kaspi_delivery_django.api.serializers import EventSerializer, readable, represented
from kaspi_delivery_django.models import Delivery, WebhookEvent
from kaspi_delivery_django.services.deliveries import rules

logger = logging.getLogger(__name__)
REPLAYED = "Idempotent-Replayed"
BY_AGE = frozenset({"created_after", "created_before"})


class DeliveryPagination(KeyPagination):
    """The newest delivery first: by its id, or by the time that the request limits.

    Where an old time is the limit, the order of the ids would read through all newer rows first.
    """

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        """Return the order that an index has for the request."""
        return ("-created_at", "-id") if BY_AGE & request.query_params.keys() else ("-id",)


class DeliveryViewSet(Endpoint[Delivery]):
    """Deliveries, for programs."""

    queryset = Delivery.objects.none()
    permissions_to_view = ("view_delivery",)
    pagination_class = DeliveryPagination

    def list(self, request: Request) -> Response:
        """Return a page of deliveries, the newest first."""
        given = read_values(ListParameters, request.query_params)
        rows = readable(filtered(given, request.user))
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(represented(page, request))

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(self._represent(_key(pk)))

    def create(self, request: Request) -> Response:
        """Book a courier for an order; return the delivery that it has, if it has one."""
        return self._once(self._book)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancel a delivery that the courier has not picked up."""
        return self._do(pk, CancelBody, lambda row, given: services.cancel_delivery(row, reason=given["reason"]))

    @action(detail=True, methods=["post"])
    def refresh(self, request: Request, pk: str) -> Response:
        """Fetch the delivery from Kaspi."""
        return self._do(pk, NothingBody, lambda row, _given: services.refresh_delivery(row))

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Send the delivery's pending and stuck calls."""
        return self._do(pk, NothingBody, lambda row, _given: services.retry_delivery(row))

    @action(detail=True, methods=["post"])
    def send(self, request: Request, pk: str) -> Response:
        """Send a delivery that the shop's adapter holds back."""
        return self._do(pk, NothingBody, lambda row, _given: services.retry_delivery(row, send_anyway=True))

    @action(detail=True, methods=["post"], url_path="send-early")
    def send_early(self, request: Request, pk: str) -> Response:
        """Send a delivery that is to be booked later."""
        return self._do(pk, NothingBody, lambda row, _given: services.retry_delivery(row, send_early=True))

    @action(detail=True, methods=["post"])
    def link(self, request: Request, pk: str) -> Response:
        """Link the delivery that Kaspi has for the order, once Kaspi confirms it."""
        return self._do(pk, LinkBody, lambda row, given: services.link_delivery(row, given["delivery_id"]))

    @action(detail=True, methods=["post"])
    def reissue(self, request: Request, pk: str) -> Response:
        """Book the order again; return the new delivery."""
        return self._do(pk, ConfirmBody, lambda row, given: services.reissue_delivery(row, **given), HTTPStatus.CREATED)

    @action(detail=True, methods=["post"], url_path="return")
    def return_(self, request: Request, pk: str) -> Response:
        """Book the way back of a delivery; return the return that it has, if it has one."""
        return self._do(pk, ReturnBody, lambda row, given: book_return(row, given["reason"]))

    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Clear the flag of a delivery that staff have dealt with."""
        return self._do(pk, ConfirmBody, lambda row, given: services.acknowledge_delivery(row, **given), HTTPStatus.OK)

    @action(detail=True, methods=["post"], url_path="mark-final")
    def mark_final(self, request: Request, pk: str) -> Response:
        """End a delivery whose status is new to this version."""
        return self._do(pk, NothingBody, lambda row, _given: services.mark_final(row), HTTPStatus.OK)

    def _do(
        self,
        pk: str,
        body: type[StrictSerializer],
        act: Callable[[Delivery, Values], object],
        status: HTTPStatus = HTTPStatus.ACCEPTED,
    ) -> Response:
        """Act on a delivery. The action's name is its permission's, and its rule's."""
        key = _key(pk)

        def run() -> Outcome:
            row = _existing(key)
            require(self.request.user, rules.permission_for(self._name, row))
            done = act(row, read_values(body, self.request.data))
            if isinstance(done, tuple):
                return _booked(*done)
            found = done if isinstance(done, Delivery) else row
            return Outcome(http_status=status if found.pk else HTTPStatus.NO_CONTENT, delivery_pk=found.pk)

        return self._once(run)

    def _book(self) -> Outcome:
        require(self.request.user, rules.PERMISSIONS["book"])
        sees_personal = may(self.request.user, "view_personal_data")
        return _booked(*book(read_values(BookBody, self.request.data), sees_personal=sees_personal))

    @property
    def _name(self) -> str:
        return str(self.action).removesuffix("_")  # `return` is no name for a method

    def _once(self, act: Callable[[], Outcome]) -> Response:
        _ = self.request.data  # read before the transaction: a body that comes slowly must hold no lock
        outcome, is_known = idempotency.run_once(idempotency.keyed(self.request), act)
        headers = {REPLAYED: "true"} if is_known else None
        if outcome.refusal:
            raise Problem("not_allowed", outcome.refusal, headers=headers)
        user, words = getattr(self.request.user, "pk", None), "action=%s delivery=%s user=%s repeated=%s"
        logger.info(words, self._name, outcome.delivery_pk, user, is_known)
        data = None if outcome.delivery_pk is None else self._represent(outcome.delivery_pk)
        return Response(data, status=outcome.http_status, headers=headers)

    def _represent(self, key: int) -> Any:
        return represented([_existing(key)], self.request)[0]


class EventPagination(KeyPagination):
    """The newest event first; the oldest first of those that came after one."""

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        """Return the order of those that a program has not seen yet."""
        return ("id",) if "after" in request.query_params else ("-id",)


class EventViewSet(Endpoint[WebhookEvent]):
    """Webhook events, for programs. Their bodies may name customers."""

    queryset = WebhookEvent.objects.none()
    permissions_to_view = ("view_webhookevent", "view_personal_data")
    pagination_class = EventPagination

    def list(self, request: Request) -> Response:
        given = read_values(EventParameters, request.query_params)
        rows = WebhookEvent.objects.filter(pk__gt=given.get("after", 0)).exclude(
            error=WebhookEvent.Reason.EXPECTED_TEST
        )
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(EventSerializer(page, many=True).data)


def _booked(delivery: Delivery, is_new: bool) -> Outcome:  # noqa: FBT001  # unpacked from a pair
    return Outcome(http_status=HTTPStatus.CREATED if is_new else HTTPStatus.OK, delivery_pk=delivery.pk)


def _existing(key: int) -> Delivery:
    row: Delivery | None = readable(Delivery.objects.filter(pk=key)).first()
    if row is None:
        raise Problem("not_found")
    return row


def _key(written: str) -> int:
    """Read the id in an address. Raises `Problem` for what no column holds."""
    key = int(written) if written.isascii() and written.isdigit() and len(written) <= len(str(MAX_ID)) else MAX_ID + 1
    if key > MAX_ID:
        raise Problem("not_found")
    return key
