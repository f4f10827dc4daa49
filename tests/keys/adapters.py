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


def _adapter(model):
    return type(f"{model.__name__}Adapter", (PaidAdapter,), {"model": model._meta.label, "__module__": __name__})


NumberedAdapter, IdentifiedAdapter, NamedAdapter = map(_adapter, (models.Numbered, models.Identified, models.Named))
PricedAdapter, CodedAdapter, AttachedAdapter = map(_adapter, (models.Priced, models.Coded, models.Attached))
TimedAdapter, PairedAdapter = map(_adapter, (models.Timed, models.Paired))
ALL = [
    f"{__name__}.{model.__name__}Adapter"
    for model in (
        models.Numbered,
        models.Identified,
        models.Named,
        models.Priced,
        models.Coded,
        models.Attached,
        models.Timed,
        models.Paired,
    )
]
