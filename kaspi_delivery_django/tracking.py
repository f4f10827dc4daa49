"""What a customer may see of a delivery, and the signed link to it: no personal data, no ids."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.core.signing import BadSignature, Signer
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext

from kaspi_delivery_django import conf, statuses
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
ROUTE = (*statuses.OPEN, statuses.DELIVERED)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the timeline. `at` is None for a step that is still to come."""

    status: str
    at: datetime | None = None
    is_late: bool = False
    is_current: bool = False

    @property
    def label(self) -> str:
        """The status in the reader's language."""
        return customer_label(self.status)


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """A delivery as its customer sees it, in values alone: a template that has it can show nothing else.

    `status` is Kaspi's word, empty before the booking. `url` is Kaspi's own page, empty unless it may be
    linked. `path` is our page, empty when the project does not include our addresses.
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

    @property
    def label(self) -> str:
        """How it stands, in the reader's language."""
        if self.is_being_cancelled:
            return gettext("Your delivery is being cancelled")
        return customer_label(self.status) if self.status else gettext("We are arranging your delivery")

    @property
    def explanation(self) -> str:
        """What the status means for the customer; empty where the label is enough."""
        if self.is_being_cancelled:
            return ""
        return status_explanation(self.status)


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
    try:
        key = int(_signer().unsign(token))
    except (BadSignature, ValueError):
        return None
    named = Delivery.objects.only(*SHOWN).filter(pk=key).first()
    current = _current(named) if named else None
    return None if current is None or current.blanked_at else current


def delivery_of(order: Model) -> Delivery | None:
    """Return the delivery that an order's customer waits for; None before one is intended.

    Raises `NoAdapter` when no adapter is for the order's model.
    """
    newest = identities.deliveries_of(identities.adapter_of(order), order).order_by("-pk").only(*SHOWN).first()
    return _current(newest) if newest else None


def track(delivery: Delivery | None) -> Tracking:
    """Return what the customer of this delivery's order sees, whichever generation is given. Two queries."""
    return _tracking(_current(delivery)) if delivery else Tracking()


def tracking_for(token: str) -> Tracking | None:
    """Return what the holder of a token sees; None if it leads to no delivery. Three queries at most."""
    delivery = delivery_for(token)
    return _tracking(delivery) if delivery else None


def _signer() -> Signer:
    return Signer(salt=SALT, sep=SEPARATOR)


def _current(delivery: Delivery) -> Delivery:
    """Return the order's newest live delivery, or its newest delivery if none is live."""
    same_order = Delivery.objects.filter(
        content_type=delivery.content_type_id, object_id=delivery.object_id, environment=delivery.environment
    )
    generations = list(same_order.only(*SHOWN).order_by("-generation"))
    return next((one for one in generations if one.is_live), generations[0] if generations else delivery)


def _tracking(delivery: Delivery) -> Tracking:
    is_final = not delivery.is_open
    is_unwanted = delivery.cancel_requested_at is not None and delivery.is_cancellable
    has_no_next = is_final or is_unwanted or (not delivery.status and rules.is_abandoned(delivery))
    return Tracking(
        status=delivery.status,
        status_at=delivery.status_at,
        steps=(*_steps_taken(delivery), *(() if has_no_next else _steps_ahead(delivery.status))),
        pickup_by=delivery.pickup_by,
        delivery_by=delivery.delivery_by,
        is_final=is_final,
        is_being_cancelled=is_unwanted and not is_final,
        is_overdue=not is_final and delivery.delivery_by is not None and delivery.delivery_by < clock.now(),
        url=allowed_tracking_url(delivery),
        path=tracking_path(delivery),
    )


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


def allowed_tracking_url(delivery: Delivery) -> str:
    """Return the tracking URL if it is https and its host is in TRACKING_HOSTS, else an empty string."""
    try:
        parts = urlsplit(delivery.tracking_url)
    except ValueError:
        return ""
    is_plain = delivery.tracking_url.isascii() and delivery.tracking_url.isprintable()  # urlsplit drops others
    safe = is_plain and parts.scheme == "https" and parts.netloc in conf.current().tracking_hosts
    return delivery.tracking_url if safe else ""
