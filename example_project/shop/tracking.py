"""What the order page shows of a delivery."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from urllib.parse import urlsplit

from django.contrib.contenttypes.models import ContentType

from example_project.shop.models import Order
from example_project.shop.wording import EXPLANATIONS, ROUTE, name_of
from kaspi_delivery_django.models import Delivery, StatusChange

TRACKING_HOSTS = {"track.kaspi.kz"}
ENDED = {"delivered", "cancelled"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the timeline. `at` is None for what is still to come."""

    status: str
    at: datetime | None = None
    late: bool = False

    @property
    def name(self) -> str:
        """The status in words."""
        return name_of(self.status)

    @property
    def explanation(self) -> str:
        """What the status means for the customer."""
        return EXPLANATIONS.get(self.status, "")

    @classmethod
    def of(cls, change: StatusChange) -> Self:
        """Read a row of the delivery's history; its note is for staff."""
        return cls(status=change.to_status, at=change.at, late=not change.applied)


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """An order's delivery as its customer sees it; `delivery` is None until one is intended."""

    order: Order
    delivery: Delivery | None
    steps: tuple[Step, ...] = ()

    @property
    def status(self) -> str:
        """Kaspi's word, empty until there is one."""
        return self.delivery.status if self.delivery else ""

    @property
    def is_open(self) -> bool:
        """Whether there is more to come, so that the page should look again."""
        return self.status not in ENDED and not self._is_given_up

    @property
    def headline(self) -> str:
        """The state of things in one line."""
        if self._is_given_up:
            return "Cancelled"
        if self.is_open and self._is_unwanted:
            return "Being cancelled"
        if self.status:
            return name_of(self.status)
        if self.delivery and self.delivery.attention:
            return "Our staff is looking into it"
        return "Looking for a courier" if self.order.paid else "Waiting for the payment"

    @property
    def expected_by(self) -> datetime | None:
        """When the parcel should be there, as long as it is on its way."""
        on_its_way = self.is_open and not self._is_unwanted
        return self.delivery.delivery_by if self.delivery and on_its_way else None

    @property
    def link(self) -> str:
        """Kaspi's own page about it, but only if it really is one of Kaspi's."""
        url = self.delivery.tracking_url if self.delivery else ""
        return url if _is_kaspis(url) else ""

    @property
    def ahead(self) -> tuple[Step, ...]:
        """The usual steps that are still to come."""
        if not self.is_open or self._is_unwanted or self.status not in {"", *ROUTE}:
            return ()
        done = ROUTE.index(self.status) + 1 if self.status else 0
        return tuple(Step(status=status) for status in ROUTE[done:])

    @property
    def _is_unwanted(self) -> bool:
        asked = self.delivery is not None and self.delivery.cancel_requested_at is not None
        return asked or self.order.cancelled

    @property
    def _is_given_up(self) -> bool:
        return self._is_unwanted and not self.status


def track(order: Order) -> Tracking:
    """Return what is known of the order's newest delivery."""
    kind = ContentType.objects.get_for_model(Order)
    delivery = Delivery.objects.of_order(kind, str(order.pk)).first()
    if delivery is None:
        return Tracking(order=order, delivery=None)
    steps = [Step.of(change) for change in delivery.history.order_by("pk")]
    return Tracking(order=order, delivery=delivery, steps=tuple(sorted(steps, key=_place)))


def _place(step: Step) -> tuple[float, int]:
    """Order by time; within one of Kaspi's whole seconds, by the usual way of a parcel."""
    second = step.at.timestamp() // 1 if step.at else 0.0
    return second, ROUTE.index(step.status) if step.status in ROUTE else len(ROUTE)


def _is_kaspis(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and parts.netloc in TRACKING_HOSTS
