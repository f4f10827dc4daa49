"""The test shop's adapters."""

from django.db import models

from kaspi_delivery_django.client import Contact, DeliveryRequest, Location, Parcel
from kaspi_delivery_django.orders import OrderAdapter as BaseAdapter
from tests.shop.models import Line, Order

SHOP = Location(address="Tole bi 2, Almaty", contact=Contact(name="Shop", phone="+7 727 222 0000"))


def a_request():
    """Return a request that any order may be shipped with."""
    customer = Location(address="Abay 1, Almaty", contact=Contact(name="Aigerim", phone="+7 727 111 0000"))
    return DeliveryRequest(
        pickup=SHOP, dropoff=customer, parcel=Parcel(description="a parcel", weight_grams=500, value_kzt=9900)
    )


class OrderAdapter(BaseAdapter[Order]):
    """What a careful shop writes."""

    model = "shop.Order"

    def wants_delivery(self, order):
        return order.paid

    def wants_cancel(self, order):
        return order.cancelled

    def cancel_reason(self, order):
        return "changed their mind"

    def build_request(self, order):
        titles = ", ".join(order.lines.order_by("pk").values_list("title", flat=True))
        customer = Contact(name="Aigerim", phone=order.phone)
        return DeliveryRequest(
            pickup=SHOP,
            dropoff=Location(address=order.address, contact=customer),
            parcel=Parcel(description=titles or "a parcel", weight_grams=500, value_kzt=9900),
        )


class AppOrderAdapter(OrderAdapter):
    """The same for orders that an app made."""

    model = "shop.AppOrder"

    def build_request(self, order):
        order.lines = Line.objects.none()
        return super().build_request(order)


class BrokenAdapter(OrderAdapter):
    """Raises, naming a customer's phone, wherever it is asked."""

    def wants_delivery(self, order):
        raise ValueError(order.phone)


class BrokenBuilder(OrderAdapter):
    """Raises when the order is built."""

    def build_request(self, order):
        raise ValueError(order.phone)


class DatabaseBreaker(OrderAdapter):
    """Leaves the transaction broken when the order is built."""

    def build_request(self, order):
        models.Model.save(Order(pk="not a number"))


class NotAnAdapter:
    """Something else."""


class NowhereAdapter(OrderAdapter):
    """Names an account that the settings do not have."""

    def account(self, order):
        return "nowhere"


class UnprintableAdapter(OrderAdapter):
    """Names its orders in letters that Kaspi does not take."""

    def external_order_id(self, order):
        return f"тапсырыс-{order.pk}"


class WrongBuilder(OrderAdapter):
    """Builds something else than a request."""

    def build_request(self, order):
        return {"externalOrderId": "order-1"}


class QueryBreaker(OrderAdapter):
    """Makes a query that fails, inside the shop's transaction."""

    def wants_delivery(self, order):
        return Order.objects.extra(where=["no_such_column = 1"]).exists()


class ReasonBreaker(OrderAdapter):
    """Wants a cancel, and fails to say why."""

    def wants_cancel(self, order):
        return True

    def cancel_reason(self, order):
        raise ValueError(order.phone)


class WordyAdapter(OrderAdapter):
    """Has a long reason for everything."""

    def cancel_reason(self, order):
        return "because " * 200


class WarehousesAdapter(OrderAdapter):
    """Sends each line of an order from a warehouse of its own: the line's title is the parcel's key."""

    def parcels(self, order):
        titles = list(order.lines.order_by("pk").values_list("title", flat=True))
        return {title: self.parcel(order, title) for title in titles} if titles else None

    def parcel(self, order, title):
        """Return the request of one parcel."""
        whole = self.build_request(order)
        warehouse = Location(address=f"The warehouse of {title}", contact=SHOP.contact)
        parcel = Parcel(description=title, weight_grams=500, value_kzt=9900)
        return DeliveryRequest(pickup=warehouse, dropoff=whole.dropoff, parcel=parcel)


class LineAdapter(BaseAdapter[Line]):
    """Ships each line of an order by itself."""

    model = "shop.Line"

    def wants_delivery(self, line):
        return True

    def external_order_id(self, line):
        return f"line-{line.pk}"

    def build_request(self, line):
        return a_request()
