"""What Kaspi Delivery must know of an oscar order."""

import math

from oscar.apps.shipping.scales import Scale
from oscar.core.loading import get_model

from kaspi_delivery_django.client import Contact, DeliveryRequest, Location, Parcel
from kaspi_delivery_django.orders import OrderAdapter
from tests.oscar.shipping.methods import KaspiDelivery

Order = get_model("order", "Order")

WAREHOUSE = Location(
    address="Almaty, Tole bi 59",
    contact=Contact(name="Warehouse", phone="+7 727 111 0000"),
)
KILOGRAMS_BY_DEFAULT = 0.5
SCALE = Scale(attribute_code="weight", default_weight=KILOGRAMS_BY_DEFAULT)


class OscarOrderAdapter(OrderAdapter[Order]):
    """Ships what was paid, if the customer chose Kaspi's courier."""

    model = "order.Order"

    def wants_delivery(self, order):
        """Ask the columns alone: the lines do not exist yet on the first save."""
        return order.shipping_code == KaspiDelivery.code and order.status == "Paid"

    def wants_cancel(self, order):
        """Follow the order's status, whoever set it."""
        return order.shipping_code == KaspiDelivery.code and order.status == "Cancelled"

    def cancel_reason(self, order):
        """Give Kaspi the reason."""
        return "The order was cancelled."

    def external_order_id(self, order):
        """Use the number that the customer knows."""
        return f"order-{order.number}"

    def build_request(self, order):
        """Put all of the lines into one parcel."""
        address = order.shipping_address
        street = (address.line4, address.line1, address.line2, address.line3)
        return DeliveryRequest(
            pickup=WAREHOUSE,
            dropoff=Location(
                address=", ".join(part for part in street if part),
                contact=Contact(name=address.name, phone=address.phone_number.as_international),
                notes=address.notes,
            ),
            parcel=Parcel(
                description=", ".join(order.lines.order_by("pk").values_list("title", flat=True)),
                weight_grams=sum(grams(line) for line in order.lines.select_related("product")),
                value_kzt=math.ceil(order.basket_total_incl_tax),
            ),
        )


def grams(line):
    """Return what a line weighs; a product that is gone, or has no weight, counts as half a kilogram."""
    kilograms = SCALE.weigh_product(line.product) if line.product else KILOGRAMS_BY_DEFAULT
    return math.ceil(kilograms * 1000) * line.quantity
