"""Two merchants: their credentials, their orders, and a Kaspi for each of them."""

from requests.adapters import BaseAdapter

from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

ALIASES = ("almaty", "astana")


class CityAdapter(OrderAdapter):
    """Ships from the customer's city, and numbers the orders of each city by themselves."""

    def account(self, order):
        """Return the city's alias."""
        return order.address.rpartition(" ")[2]

    def external_order_id(self, order):
        """Return a name that both cities use."""
        return f"order-{order.phone[-1]}"


class OwnNamesAdapter(CityAdapter):
    """Names its orders by their keys, so that two of them never meet."""

    external_order_id = OrderAdapter.external_order_id


class ByAddress(BaseAdapter):
    """Sends each request to the Kaspi that has its address."""

    def __init__(self, kaspis):
        super().__init__()
        self.kaspis = kaspis

    def send(self, request, *args, **kwargs):
        """Find the Kaspi of this address."""
        [kaspi] = [kaspi for address, kaspi in self.kaspis.items() if request.url.startswith(address)]
        return kaspi.send(request, *args, **kwargs)

    def close(self):
        """Nothing is open."""


def credentials(alias):
    """Return the settings of an account."""
    return {
        "API_KEY": f"the-api-key-of-{alias}",
        "WEBHOOK_SECRETS": [f"the-webhook-secret-of-{alias}-and-of-no-other-one"],
        "BASE_URL": f"https://{alias}.kaspi.example/delivery",
    }


def order_in(alias, number=1):
    """Save an order of this city."""
    return Order.objects.create(address=f"Abay 1, {alias}", phone=f"+7 727 111 000{number}")
