"""What a customer may see of a delivery, and the signed link to it: no personal data, no ids."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.core.signing import BadSignature, Signer
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy

from kaspi_delivery_django import statuses
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries import identities, rules
from kaspi_delivery_django.statuses import customer_label, status_explanation

SALT = "kaspi_delivery.tracking"
SEPARATOR = "."  # what a mail program takes into a link, and base64 has no use for
MAX_STEPS = 50


SHOWN = (
    "content_type_id",
    "object_id",
    "environment",
    "generation",
    "parcel",
    "returned_generation",
    "delivery_id",
    "status",
    "status_at",
    "tracking_url",
    "pickup_by",
    "delivery_by",
    "cancel_requested_at",
    "final_at",
    "blanked_at",
)
ARRANGED = (gettext_lazy("We are arranging your delivery"), gettext_lazy("We are arranging the return"))
BEING_CANCELLED = (gettext_lazy("Your delivery is being cancelled"), gettext_lazy("The return is being cancelled"))
ROUTE = (*statuses.OPEN, statuses.DELIVERED)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the timeline. `at` is None for a step that is still to come."""

    status: str
    at: datetime | None = None
    is_late: bool = False
    is_current: bool = False
    is_return: bool = False

    @property
    def label(self) -> str:
        """The status in the reader's language."""
        return customer_label(self.status, is_return=self.is_return)


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """A delivery as its customer sees it, in values alone: a template that has it can show nothing else.

    `status` is Kaspi's word, empty before the booking. `url` is Kaspi's own page, empty unless it may be
    linked. `path` is our page, empty when the project does not include our addresses. `returned` is the way back to
    the shop, once it is booked. `others` are the order's other parcels, without their steps.
    """

    status: str = ""
    status_at: datetime | None = None
    steps: tuple[Step, ...] = ()
    pickup_by: datetime | None = None
    delivery_by: datetime | None = None
    is_final: bool = False
    is_being_cancelled: bool = False
    is_overdue: bool = False
    url: str = ""
    path: str = ""
    is_return: bool = False
    returned: "Tracking | None" = None
    others: tuple["Tracking", ...] = ()

    @property
    def label(self) -> str:
        """How it stands, in the reader's language."""
        if self.is_being_cancelled:
            return str(BEING_CANCELLED[self.is_return])
        return customer_label(self.status, is_return=self.is_return) if self.status else str(ARRANGED[self.is_return])

    @property
    def explanation(self) -> str:
        """What the status means for the customer; empty where the label is enough."""
        if self.is_being_cancelled:
            return ""
        return status_explanation(self.status, is_return=self.is_return)

    @property
    def may_change(self) -> bool:
        """Whether there is more to come: the delivery, its return or another parcel has not ended."""
        shown = (self, *self.others, *filter(None, (self.returned,)))
        return not all(one.is_final for one in shown)


def token_of(delivery: Delivery) -> str:
    """Return the signed name of the delivery's order. It has no expiry, and holds the row's number readably."""
    return _signer().sign(str(delivery.pk))


def tracking_path(delivery: Delivery) -> str:
    """Return the path of the customer's page, for `request.build_absolute_uri`; empty without our addresses."""
    try:
        return reverse("kaspi_delivery:tracking", kwargs={"token": token_of(delivery)})
    except NoReverseMatch:
        return ""


def delivery_for(token: str) -> Delivery | None:
    """Return the delivery that a token leads to now; None for a token that is not ours or has ended.

    A token with a wrong signature costs no query.
    """
    found = _named(token)
    return found.delivery if found else None


def delivery_of(order: Model) -> Delivery | None:
    """Return the delivery that an order's customer waits for; None before one is intended.

    Of several parcels it is the least advanced. Raises `NoAdapter` when no adapter is for the order's model.
    """
    newest = identities.deliveries_of(identities.adapter_of(order), order).order_by("-pk").only(*SHOWN).first()
    if newest is None:
        return None
    shown = _current(newest)
    return min((shown.delivery, *shown.others), key=lambda one: statuses.progress_rank(one.status))


def track(delivery: Delivery | None) -> Tracking:
    """Return what the customer of this delivery's order sees, whichever generation, or its return, is given.

    Two queries; one more for a return.
    """
    return _page(_current(delivery)) if delivery else Tracking()


def tracking_for(token: str) -> Tracking | None:
    """Return what the holder of a token sees; None if it leads to no delivery. Three queries; one more for a return."""
    found = _named(token)
    return _page(found) if found else None


def _signer() -> Signer:
    return Signer(salt=SALT, sep=SEPARATOR)


def _named(token: str) -> "_Shown | None":
    try:
        key = int(_signer().unsign(token))
    except (BadSignature, ValueError):
        return None
    named = Delivery.objects.only(*SHOWN).filter(pk=key).first()
    found = _current(named) if named else None
    return None if found is None or found.delivery.blanked_at else found


@dataclass(frozen=True)
class _Shown:
    """What a page shows: a parcel's delivery, its newest return, and the deliveries of the order's other parcels."""

    delivery: Delivery
    back: Delivery | None
    others: Sequence[Delivery]


def _current(delivery: Delivery) -> _Shown:
    """Read the order's deliveries: of each parcel the newest live one, or the newest if none is live."""
    same_order = Delivery.objects.filter(
        content_type=delivery.content_type_id, object_id=delivery.object_id, environment=delivery.environment
    )
    rows = list(same_order.only(*SHOWN).order_by("-generation", "pk"))
    by_parcel: dict[str, list[Delivery]] = {}
    for row in rows:
        if not row.is_return:
            by_parcel.setdefault(row.parcel, []).append(row)
    newest = {key: next((one for one in own if one.is_live), own[0]) for key, own in by_parcel.items()}
    current = newest.pop(delivery.parcel, delivery)
    back = (row for row in rows if row.parcel == current.parcel and row.returned_generation == current.generation)
    return _Shown(current, next(back, None), list(newest.values()))


def _page(shown: _Shown) -> Tracking:
    """Return the tracking of a delivery, with its return, unless that will not take place, and the other parcels."""
    back, way = shown.back, _tracking(shown.delivery)
    takes_place = back is not None and (back.is_live or (back.is_open and not rules.is_abandoned(back)))
    returned = replace(_tracking(back), path="") if back and takes_place else None
    return replace(way, returned=returned, others=tuple(_tracking(one, has_steps=False) for one in shown.others))


def _tracking(delivery: Delivery, *, has_steps: bool = True) -> Tracking:
    is_final = not delivery.is_open
    is_unwanted = delivery.cancel_requested_at is not None and delivery.is_cancellable
    steps = _steps(delivery, has_no_next=is_final or is_unwanted) if has_steps else ()
    return Tracking(
        status=delivery.status,
        status_at=delivery.status_at,
        steps=tuple(replace(step, is_return=delivery.is_return) for step in steps),
        is_return=delivery.is_return,
        pickup_by=delivery.pickup_by,
        delivery_by=delivery.delivery_by,
        is_final=is_final,
        is_being_cancelled=is_unwanted and not is_final,
        is_overdue=not is_final and delivery.delivery_by is not None and delivery.delivery_by < clock.now(),
        url=delivery.allowed_tracking_url,
        path=tracking_path(delivery),
    )


def _steps(delivery: Delivery, *, has_no_next: bool) -> Iterator[Step]:
    yield from _steps_taken(delivery)
    if not (has_no_next or (not delivery.status and rules.is_abandoned(delivery))):
        yield from _steps_ahead(delivery.status)


def _steps_taken(delivery: Delivery) -> Iterator[Step]:
    """Yield the steps taken, in order; the last one to the present status is the current one."""
    if not delivery.status:
        return
    steps = sorted(_known(delivery), key=_place)
    here = max((number for number, step in enumerate(steps) if step.status == delivery.status), default=None)
    for number, step in enumerate(steps):
        yield Step(status=step.status, at=step.at, is_late=step.is_late, is_current=number == here)
    if here is None:
        yield Step(status=delivery.status, at=delivery.status_at, is_current=True)


def _known(delivery: Delivery) -> Iterable[Step]:
    """Read the history. A late update counts only if it is a regular step; the rest is being refreshed."""
    rows = StatusChange.objects.filter(delivery=delivery.pk).order_by("-at", "-pk")
    for status, at, applied in rows.values_list("to_status", "at", "applied")[:MAX_STEPS]:
        if applied or status in statuses.OPEN:
            yield Step(status=status, at=at, is_late=not applied)


def _place(step: Step) -> tuple[float, int]:
    """Return the sort key: the second, then the status's rank, since Kaspi's times are whole seconds."""
    second = step.at.timestamp() // 1 if step.at else 0.0
    return second, statuses.RANKS.get(step.status, len(ROUTE))


def _steps_ahead(status: str) -> Iterator[Step]:
    """Yield the regular steps still ahead; none for an unknown status."""
    if status in statuses.RANKS:
        rank = statuses.RANKS[status]
        yield from (Step(status=later) for later in ROUTE if statuses.RANKS[later] > rank)
