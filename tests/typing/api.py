"""Every promised public name as a shop uses it; `mypy --strict` reads this, nothing runs it."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

from django.db import models
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from prometheus_client import CollectorRegistry
from rest_framework.throttling import AnonRateThrottle

from kaspi_delivery_django import client, conf, exceptions, services, tracking
from kaspi_delivery_django.client import Contact, DeliveryRequest, KaspiClient, Location, Parcel, RemoteDelivery
from kaspi_delivery_django.contrib import prometheus
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.orders import OrderAdapter
from kaspi_delivery_django.serializers import TrackingSerializer
from kaspi_delivery_django.signals import delivery_created, delivery_needs_attention, delivery_status_changed
from kaspi_delivery_django.testing import Fault, KaspiSandbox, kaspi_sandbox
from kaspi_delivery_django.views import TrackingView, WebhookView

# settings.py
KASPI_DELIVERY: dict[str, Any] = conf.from_env(ORDER_ADAPTERS=["shop.kaspi.ShopOrderAdapter"])

# urls.py
urlpatterns = [
    path("kaspi/", include("kaspi_delivery_django.urls")),
    path("hook/", WebhookView.as_view()),
]


class Order(models.Model):
    """A shop's order."""

    paid = models.BooleanField(default=False)
    cancelled = models.BooleanField(default=False)
    address = models.CharField(max_length=200)

    class Meta:
        app_label = "typing"


class ShopOrderAdapter(OrderAdapter[Order]):
    """Every method of an adapter."""

    model = "shop.Order"

    def wants_delivery(self, order: Order) -> bool:
        return order.paid

    def wants_cancel(self, order: Order) -> bool:
        return order.cancelled

    def parcels(self, order: Order) -> Mapping[str, DeliveryRequest] | None:
        return None

    def build_return(self, order: Order, request: DeliveryRequest) -> DeliveryRequest:
        return request

    def build_request(self, order: Order) -> DeliveryRequest:
        return DeliveryRequest(
            pickup=Location(address="Tole bi 2, Almaty", contact=Contact(name="Shop", phone="+7 727 222 0000")),
            dropoff=Location(
                address=order.address,
                contact=Contact(name="Aigerim", phone="+7 727 111 0000"),
                notes="Ring twice",
            ),
            parcel=Parcel(description="A samovar", weight_grams=3000, value_kzt=45000),
            external_order_id="order-742",
        )

    def external_order_id(self, order: Order) -> str:
        return f"shop-{order.pk}"

    def find_order(self, reference: str) -> Order | None:
        return Order(pk=reference.removeprefix("shop-")) if reference else None

    def account(self, order: Order) -> str:
        return "almaty"

    def customer_recipients(self, order: Order) -> dict[str, str | int | None]:
        return {"email": None, "telegram": order.pk}

    def customer_language(self, order: Order) -> str:
        return "kk"

    def cancel_reason(self, order: Order) -> str:
        return "The customer changed their mind"


def use_the_client(api_key: str, request: DeliveryRequest) -> None:
    kaspi = KaspiClient(api_key, base_url=client.SANDBOX_URL, timeouts=client.Timeouts(total_s=5))
    booked = kaspi.create_delivery(request, idempotency_key="order-742")
    assert_type(booked, RemoteDelivery)
    assert_type(booked.delivery_id, str)
    assert_type(booked.status, str)
    assert_type(booked.tracking_url, str)
    assert_type(booked.eta.delivery_by, datetime | None)
    assert_type(booked.replayed, bool)
    assert_type((booked.pickup, booked.dropoff), tuple[Location | None, Location | None])
    assert_type(booked.parcel, Parcel | None)
    found = kaspi.get_delivery(booked.delivery_id, include_history=True)
    assert_type([entry.timestamp for entry in found.history], list[datetime | None])
    kaspi.cancel_delivery(found.delivery_id, reason="no", idempotency_key="order-742-cancel")
    sent = kaspi.send_test_webhook("https://shop.example/kaspi/webhook/", "delivery.created")
    assert_type(sent, client.TestWebhook)
    assert_type((sent.event_id, sent.status), tuple[str, str])
    kaspi.close()


def sort_errors(kaspi: KaspiClient, request: DeliveryRequest) -> str:
    try:
        kaspi.create_delivery(request, idempotency_key="order-742")
    except (client.NotReached, client.RateLimited):
        return "later"
    except client.OutcomeUnknown:
        return "again, with the same key"
    except (client.Conflict, client.NotFound, client.Refused):
        return "not at all"
    except (client.KaspiError, client.UsageError) as err:
        return str(err)
    return client.PRODUCTION_URL


def use_the_services(order: Order) -> Delivery:
    delivery = services.request_delivery(order)
    assert_type(delivery, Delivery)
    assert_type(delivery.status, str)
    assert_type(delivery.delivery_id, str | None)
    try:
        assert_type(services.refresh_delivery(delivery), ApiCall)
        return services.cancel_delivery(delivery, reason="no longer wanted")
    except exceptions.CannotCancel:
        return delivery
    except (exceptions.NoAdapter, exceptions.DeliveryError):
        raise


def read_the_history(delivery: Delivery) -> list[tuple[str, datetime]]:
    assert_type(WebhookEvent.objects.filter(delivery=delivery).exists(), bool)
    changes = StatusChange.objects.filter(delivery=delivery, applied=True)
    return [(change.to_status, change.at) for change in changes]


@receiver(delivery_created)
@receiver(delivery_needs_attention)
def follow(sender: type[Delivery], delivery: Delivery, **_kwargs: Any) -> None:
    """Hook the shop's own code to a booking."""


@receiver(delivery_status_changed)
def follow_status(sender: type[Delivery], delivery: Delivery, change: StatusChange, **_kwargs: Any) -> None:
    """Hook the shop's own code to a new status."""


def view_a_delivery(request: HttpRequest, delivery: Delivery) -> HttpResponse:
    return HttpResponse(delivery.tracking_url)


def show_the_customer(request: HttpRequest, order: models.Model) -> HttpResponse:
    delivery = tracking.delivery_of(order)
    assert_type(delivery, Delivery | None)
    assert_type(tracking.track(delivery), tracking.Tracking)
    if delivery is None:
        return HttpResponse(tracking.track(None).label)
    assert_type(tracking.delivery_for(tracking.token_of(delivery)), Delivery | None)
    assert_type(TrackingSerializer(delivery).data["label"], Any)
    return HttpResponse(request.build_absolute_uri(tracking.tracking_path(delivery)))


class LimitedTracking(TrackingView):
    """The endpoint, with a limit of the shop's."""

    throttle_classes = (AnonRateThrottle,)


def check_a_signature(secret: str, timestamp: str, body: bytes) -> None:
    signature = client.sign(secret, timestamp, body)
    client.verify(body, timestamp=timestamp, signature=signature, secrets=[secret], now=0)


def work_through_the_list(order: models.Model, delivery: Delivery, event: WebhookEvent) -> None:
    try:
        assert_type(services.retry_delivery(delivery), Delivery)
        assert_type(services.link_delivery(delivery, "dlv_1"), ApiCall)
        assert_type(services.adopt_delivery(order, "dlv_1", external_order_id="KZ-742"), Delivery)
        assert_type(services.book_delivery(order, send_anyway=True), Delivery)
        assert_type(services.reissue_delivery(delivery, confirmed_absent=True), Delivery)
        assert_type(services.acknowledge_delivery(delivery, confirmed_absent=False), Delivery)
        assert_type(services.mark_final(delivery), Delivery)
        assert_type(services.request_return(delivery, reason="too small").returned_delivery(), Delivery)
        assert_type(services.replay_event(event), str)
    except (
        exceptions.CannotBook,
        exceptions.CannotRetry,
        exceptions.CannotLink,
        exceptions.CannotMarkFinal,
        exceptions.CannotReissue,
        exceptions.CannotAcknowledge,
        exceptions.CannotRefresh,
        exceptions.CannotReturn,
    ) as err:
        assert_type(str(err), str)


def show_metrics(registry: CollectorRegistry) -> None:
    prometheus.connect()
    prometheus.connect(registry)
    registry.register(prometheus.Collector())


def test_the_shop(order: Order) -> None:
    with kaspi_sandbox() as kaspi:
        assert_type(kaspi, KaspiSandbox)
        kaspi.fail_next("create", status=429, retry_after=30, times=2, account="almaty")
        kaspi.time_out_next("create")
        kaspi.drop_next("cancel", acted=True)
        kaspi.add_fault(Fault(operation="get", truncate=True))
        kaspi.clear_faults()
        kaspi.later(minutes=5)
        assert_type(kaspi.now(), datetime)
        assert_type(kaspi.send_due(), int)
        assert_type(kaspi.deliver(order, until="accepted"), Delivery)
        assert_type(kaspi.move(kaspi.delivery_of(order), "in_transit", notes="Ruslan"), Delivery)
        assert_type([sent.status for sent in kaspi.send_webhooks()], list[int])
        assert_type(kaspi.webhook(order, "delivered", event_id="wh_1", signed_at=kaspi.now()).status_code, Any)
        assert_type(kaspi.booking_of(order).request, dict[str, Any])
        assert_type([request.status for request in kaspi.requests], list[int])
        claim_all(kaspi, order)


def claim_all(kaspi: KaspiSandbox, order: Order) -> None:
    kaspi.assert_booked_once(order)
    kaspi.assert_not_booked(order)
    kaspi.assert_cancelled(order)
    kaspi.assert_status(order, "delivered")
    kaspi.assert_needs_attention(order, "refused")
    kaspi.assert_up_to_date(order)


def test_a_story(order: Order) -> None:
    with kaspi_sandbox(record="story.json", account="almaty") as kaspi:
        kaspi.deliver(order)
    with kaspi_sandbox(replay=Path("story.json"), account="almaty") as kaspi:
        assert_type(kaspi, KaspiSandbox)


@kaspi_sandbox(runner="inline")
def test_without_a_handle() -> None: ...
