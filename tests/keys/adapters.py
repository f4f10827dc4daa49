"""An adapter for each of them."""

from tests.keys import models
from tests.shop import adapters


class PaidAdapter(adapters.OrderAdapter):
    """An adapter that names orders by their primary key."""

    def wants_cancel(self, order):
        return False

    def external_order_id(self, order):
        return f"{type(self).__name__}-{order.pk}".replace(" ", "_")

    def build_request(self, order):
        return adapters.a_request()


NAMES = ("Numbered", "Identified", "Named", "Priced", "Coded", "Attached", "Timed", "Paired")
ALL = [f"{__name__}.{name}Adapter" for name in NAMES]
for name in NAMES:
    options = {"model": getattr(models, name)._meta.label, "__module__": __name__}
    globals()[f"{name}Adapter"] = type(f"{name}Adapter", (PaidAdapter,), options)
