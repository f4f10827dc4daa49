"""Store one delivery as Kaspi does, and serialize it as the API documents it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

STATUSES = ("created", "accepted", "in_transit", "out_for_delivery", "delivered", "cancelled")
ROUTE = STATUSES[:-1]  # the statuses of a delivery that is not cancelled, in order
CANCELLABLE = frozenset({"created", "accepted"})
REQUEST_FIELDS = ("externalOrderId", "pickup", "dropoff", "parcel")
PICKUP_WITHIN_S = 60 * 60
DELIVERY_WITHIN_S = 4 * 60 * 60


def rfc3339(moment: float) -> str:
    """Format Unix seconds as Kaspi does: whole seconds, UTC, a trailing Z."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class DeliveryRecord:
    """A booked delivery; `request` is the body of its create, times are Unix seconds."""

    delivery_id: str
    request: dict[str, Any]
    created_at: float
    status: str = ""
    changed_at: float = 0.0
    history: list[dict[str, str]] = field(default_factory=list)
    pending_cancel: str | None = None

    @property
    def external_order_id(self) -> str:
        return str(self.request["externalOrderId"])

    def change(self, status: str, at: float, notes: str) -> None:
        """Set the status and append it to the history; a pending cancel ends."""
        self.status, self.changed_at, self.pending_cancel = status, at, None
        self.history.append({"status": status, "timestamp": rfc3339(at), "notes": notes})

    def to_created(self) -> dict[str, Any]:
        """Return Kaspi's DeliveryCreated, which does not repeat the externalOrderId."""
        return {
            "deliveryId": self.delivery_id,
            "status": self.status,
            "trackingUrl": f"https://track.kaspi.kz/{self.delivery_id}",
            "eta": {
                "pickupBy": rfc3339(self.created_at + PICKUP_WITHIN_S),
                "deliveryBy": rfc3339(self.created_at + DELIVERY_WITHIN_S),
            },
        }

    def to_delivery(self, *, include_history: bool = False) -> dict[str, Any]:
        """Return Kaspi's Delivery: the fields of the request and of DeliveryCreated, and `createdAt`."""
        booked = {name: self.request[name] for name in REQUEST_FIELDS}
        delivery = {**booked, **self.to_created(), "createdAt": rfc3339(self.created_at)}
        if include_history:
            delivery["history"] = list(self.history)
        return delivery

    def to_event(self) -> dict[str, str]:
        """Return the `data` of the webhook about the latest change."""
        return {
            "deliveryId": self.delivery_id,
            "externalOrderId": self.external_order_id,
            "status": self.status,
            "timestamp": rfc3339(self.changed_at),
        }
