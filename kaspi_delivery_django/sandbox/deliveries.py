"""One delivery as Kaspi keeps it, and how it looks on the wire."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

CANCELLABLE = frozenset({"created", "accepted"})
REQUEST_FIELDS = ("externalOrderId", "pickup", "dropoff", "parcel")
PICKUP_WITHIN_S = 60 * 60
DELIVERY_WITHIN_S = 4 * 60 * 60


def rfc3339(moment: float) -> str:
    """Write Unix seconds the way Kaspi stamps things: whole seconds, UTC, a trailing Z."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class DeliveryRecord:
    """A booked delivery; `request` is the body it was booked with, times are Unix seconds."""

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
        """Enter a status; a cancel that was waiting for the courier is settled by it."""
        self.status, self.changed_at, self.pending_cancel = status, at, None
        self.history.append({"status": status, "timestamp": rfc3339(at), "notes": notes})

    def to_created(self) -> dict[str, Any]:
        """Shape Kaspi's DeliveryCreated, which does not repeat the externalOrderId."""
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
        """Shape Kaspi's Delivery: the fields of the request and of DeliveryCreated, and `createdAt`."""
        booked = {name: self.request[name] for name in REQUEST_FIELDS}
        delivery = {**booked, **self.to_created(), "createdAt": rfc3339(self.created_at)}
        if include_history:
            delivery["history"] = list(self.history)
        return delivery

    def to_event(self) -> dict[str, str]:
        """Shape the `data` of the webhook about the latest change."""
        return {
            "deliveryId": self.delivery_id,
            "externalOrderId": self.external_order_id,
            "status": self.status,
            "timestamp": rfc3339(self.changed_at),
        }
