"""What is left when a storm is over: counted, row by row, on both sides."""

from collections import Counter

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.statuses import RANKS, TERMINAL
from tests.shop.spellings import MODELS, order_in
from tests.storm.shopping import GHOST

MUST_BE_NONE = (
    "lost",
    "doubled",
    "cancelled unsent, yet sent",
    "status regressions",
    "unexplained rows",
)
OPEN_EVENTS = (WebhookEvent.State.PARKED, WebhookEvent.State.FAILED, WebhookEvent.State.CONFLICT)


def unsettled():
    calls = ApiCall.objects.filter(state__in=ApiCall.UNRESOLVED).count()
    unnotified = StatusChange.objects.filter(notified_at__isnull=True, applied=True).count()
    moving = Delivery.objects.filter(delivery_id__isnull=False).exclude(status__in=TERMINAL).count()
    return calls + unnotified + moving


def listed():
    return Delivery.objects.exclude(attention="").count()


def tally(kaspi, shopping):
    """Return the closing table: name to figure. `MUST_BE_NONE` names those that must be 0."""
    live = Counter(order_in(r.external_order_id) for r in kaspi.deliveries.values() if r.status != "cancelled")
    return {
        "lost": _lost(live),
        "doubled": sum(1 for count in live.values() if count > 1),
        "cancelled unsent, yet sent": _sent(kaspi, shopping.cancelled_unsent),
        "status regressions": _regressions(kaspi),
        "unexplained rows": sum(_unexplained(kaspi).values()),
        "orders saved": sum(model.objects.count() for model in MODELS),
        "orders cancelled by the shop": sum(model.objects.filter(cancelled=True).count() for model in MODELS),
        "orders cancelled by update(), unsent": len(shopping.cancelled_unsent),
        "deliveries booked at Kaspi": len(kaspi.deliveries),
        "deliveries delivered": Delivery.objects.filter(status="delivered").count(),
        "deliveries cancelled": Delivery.objects.filter(status="cancelled").count(),
        "given up, nothing was booked": ApiCall.objects.filter(kind="create", state="abandoned").count(),
        "requests to Kaspi": len(kaspi.requests),
        "webhook attempts": len(kaspi.webhooks.sent),
        "webhook events stored": WebhookEvent.objects.count(),
        "webhook events given up by Kaspi": len(kaspi.webhooks.lost),
    }


def _lost(live):
    """Count orders that want a delivery and neither have one nor are listed for staff."""
    listed_orders = set(Delivery.objects.exclude(attention="").values_list("object_id", flat=True))
    wanted = (model.objects.filter(cancelled=False, paid=True).values_list("pk", flat=True) for model in MODELS)
    keys = (str(pk) for orders in wanted for pk in orders)
    return sum(1 for key in keys if not live[key] and key not in listed_orders)


def _sent(kaspi, cancelled):
    """Count orders whose cancel was committed before their create was claimed, and which were sent to Kaspi."""
    sent = {order_in(r.idempotency_key) for r in kaspi.requests if r.idempotency_key and r.method == "POST"}
    return len(sent & cancelled)


def _regressions(kaspi):
    """Count applied steps backwards that were not Kaspi's own answer, and ends that differ from Kaspi's."""
    steps = StatusChange.objects.filter(applied=True).exclude(source="refresh")
    backwards = sum(1 for s in steps if RANKS[s.to_status] <= RANKS[s.from_status])
    ours = Delivery.objects.filter(delivery_id__isnull=False).values_list("delivery_id", "status")
    return backwards + sum(1 for key, status in ours if kaspi.deliveries[key].status != status)


def _unexplained(kaspi):
    """Count rows that are neither finished, nor scheduled, nor listed for staff."""
    calls = ApiCall.objects.filter(state__in=(*ApiCall.UNRESOLVED, "stuck", "refused"))
    ended = calls.filter(delivery__status__in=TERMINAL) | calls.filter(kind="link")
    idle = calls.filter(next_attempt_at__isnull=True, delivery__attention="").exclude(pk__in=ended.values("pk"))
    ids = {r.delivery_id for r in kaspi.deliveries.values()}
    ours = set(Delivery.objects.filter(delivery_id__isnull=False).values_list("delivery_id", flat=True))
    return {
        "calls": idle.count(),
        "unnotified changes": StatusChange.objects.filter(notified_at__isnull=True, applied=True).count(),
        "events": WebhookEvent.objects.filter(state__in=OPEN_EVENTS).count(),
        "parcels that we do not know": len(ids - ours),
        "parcels of orders that were rolled back": sum(1 for r in kaspi.deliveries.values() if GHOST in _address(r)),
    }


def _address(record):
    return record.request["dropoff"]["address"]
