"""The shop's adapter, and a Kaspi that remembers nothing: what grows is then ours."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from django.db.models import QuerySet

from kaspi_delivery_django.lifecycle import IN_TRANSIT
from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from kaspi_delivery_django.sandbox.responses import Response
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

if TYPE_CHECKING:
    from kaspi_delivery_django.sandbox.api import FakeKaspi


class EverythingAdapter(OrderAdapter):
    """Lets every order be looked through."""

    def orders_to_enqueue(self) -> QuerySet[Order]:
        """Return all."""
        return Order.objects.all()


class Forgetful:
    """Answers each question as if the courier had just picked up."""

    def handle(self, _method: str, path: str, _headers: Mapping[str, str], _body: bytes) -> Response:
        """Answer a GET about a delivery."""
        delivery_id = path.partition("?")[0].rpartition("/")[2]
        return Response(status=200, body=json.dumps({"deliveryId": delivery_id, "status": IN_TRANSIT}).encode())


def transport() -> SandboxAdapter:
    """Return what carries requests there, without a socket."""
    return SandboxAdapter(cast("FakeKaspi", Forgetful()))
