"""What is left when a storm is over: counted, row by row, on both sides."""

import re
from collections import Counter

from kaspi_delivery_django.lifecycle import RANKS, TERMINAL
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from tests.shop.models import Order
from tests.storm.shopping import GHOST

ORDER_NUMBER = re.compile(r"order-(\d+)(?:-\d+)?")
OPEN_EVENTS = (WebhookEvent.State.PARKED, WebhookEvent.State.FAILED, WebhookEvent.State.CONFLICT)


def unsettled():
    """Return how many rows still wait for something by themselves."""
    calls = ApiCall.objects.filter(state__in=ApiCall.UNRESOLVED).count()
    untold = StatusChange.objects.filter(notified_at__isnull=True, applied=True).count()
    moving = Delivery.objects.filter(delivery_id__isnull=False).exclude(status__in=TERMINAL).count()
    return calls + untold + moving


def listed():
    """Return how many deliveries ask for a person."""
    return Delivery.objects.exclude(attention="").count()


def tally(world):
    """Return the closing table: name to figure. The first four must be 0."""
    live = Counter(_number(r) for r in world.deliveries.values() if r.status != "cancelled")
    return {
        "lost": _lost(live),
        "doubled": sum(1 for count in live.values() if count > 1),
        "status regressions": _regressions(world),
        "unexplained rows": sum(_unexplained(world).values()),
        "orders saved": Order.objects.count(),
        "orders cancelled by the shop": Order.objects.filter(cancelled=True).count(),
        "deliveries booked at Kaspi": len(world.deliveries),
        "deliveries delivered": Delivery.objects.filter(status="delivered").count(),
        "deliveries cancelled": Delivery.objects.filter(status="cancelled").count(),
        "given up, nothing was booked": ApiCall.objects.filter(kind="create", state="abandoned").count(),
        "requests to Kaspi": len(world.requests),
        "webhook attempts": len(world.mailbox.sent),
        "webhook events stored": WebhookEvent.objects.count(),
        "webhook events given up by Kaspi": len(world.mailbox.lost),
    }


def _lost(live):
    """Count orders that want a delivery and have none, and nobody is asked to see to it."""
    listed_orders = set(Delivery.objects.exclude(attention="").values_list("object_id", flat=True))
    wanted = Order.objects.filter(cancelled=False, paid=True).values_list("pk", flat=True)
    return sum(1 for pk in wanted if not live[str(pk)] and str(pk) not in listed_orders)


def _regressions(world):
    """Count applied steps backwards that were not Kaspi's own answer, and ends that differ from Kaspi's."""
    steps = StatusChange.objects.filter(applied=True).exclude(source="refresh")
    backwards = sum(1 for s in steps if RANKS[s.to_status] <= RANKS[s.from_status])
    ours = Delivery.objects.filter(delivery_id__isnull=False).values_list("delivery_id", "status")
    return backwards + sum(1 for key, status in ours if world.deliveries[key].status != status)


def _unexplained(world):
    """Count rows that are neither finished, nor scheduled, nor on the list that asks for a person."""
    calls = ApiCall.objects.filter(state__in=(*ApiCall.UNRESOLVED, "stuck", "refused"))
    ended = calls.filter(delivery__status__in=TERMINAL) | calls.filter(kind="link")
    idle = calls.filter(next_attempt_at__isnull=True, delivery__attention="").exclude(pk__in=ended.values("pk"))
    ids = {r.delivery_id for r in world.deliveries.values()}
    ours = set(Delivery.objects.filter(delivery_id__isnull=False).values_list("delivery_id", flat=True))
    return {
        "calls": idle.count(),
        "untold changes": StatusChange.objects.filter(notified_at__isnull=True, applied=True).count(),
        "events": WebhookEvent.objects.filter(state__in=OPEN_EVENTS).count(),
        "parcels that we do not know": len(ids - ours),
        "parcels of orders that were rolled back": sum(1 for r in world.deliveries.values() if GHOST in _address(r)),
    }


def _number(record):
    return ORDER_NUMBER.fullmatch(record.external_order_id)[1]


def _address(record):
    return record.request["dropoff"]["address"]
