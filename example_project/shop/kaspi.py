"""The adapter of the shop's orders."""

from django.utils.translation import gettext

from example_project.shop.models import Order
from kaspi_delivery_django.client import Contact, DeliveryRequest, Location, Parcel
from kaspi_delivery_django.orders import OrderAdapter

WAREHOUSE = Location(
    address="Zhibek Zholy Avenue 53, Almaty",
    contact=Contact(name="Alatau Goods, dispatch", phone="+7 727 111 0000"),
    notes="Gate 2, ring twice.",
)


class ShopOrderAdapter(OrderAdapter[Order]):
    """A paid order is shipped, a cancelled one is not."""

    model = "example_shop.Order"

    def wants_delivery(self, order: Order) -> bool:
        """Ship what is paid."""
        return order.paid

    def wants_cancel(self, order: Order) -> bool:
        """Take back what the customer no longer wants."""
        return order.cancelled

    def cancel_reason(self, order: Order) -> str:
        """Give Kaspi a reason."""
        return gettext("The customer cancelled the order.")

    def order_label(self, order: Order) -> str:
        """Return the number that the customer knows."""
        return order.number

    def build_request(self, order: Order) -> DeliveryRequest:
        """Put all the lines into one parcel."""
        lines = list(order.lines.select_related("product"))
        return DeliveryRequest(
            pickup=WAREHOUSE,
            dropoff=Location(
                address=order.address,
                contact=Contact(name=order.customer_name, phone=order.phone),
                notes=order.courier_notes,
            ),
            parcel=Parcel(
                description=", ".join(str(line) for line in lines),
                weight_grams=sum(line.quantity * line.product.weight_grams for line in lines),
                value_kzt=sum(line.total_kzt for line in lines),
            ),
        )
