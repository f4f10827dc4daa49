"""Kaspi's words for a delivery's status, as a customer reads them."""

ROUTE = ("created", "accepted", "in_transit", "out_for_delivery", "delivered")
NAMES = {
    "created": "Booked",
    "accepted": "Courier found",
    "in_transit": "Picked up",
    "out_for_delivery": "Almost there",
    "delivered": "Delivered",
    "cancelled": "Cancelled",
}
EXPLANATIONS = {
    "created": "Kaspi has taken the order.",
    "accepted": "A courier is on the way to our shop.",
    "in_transit": "The parcel has left our shop.",
    "out_for_delivery": "The courier is on the way to your door.",
    "delivered": "Enjoy!",
    "cancelled": "This parcel will not be delivered.",
}


def name_of(status: str) -> str:
    """Return a status in words; one that nobody knows reads as it came."""
    return NAMES.get(status, status)
