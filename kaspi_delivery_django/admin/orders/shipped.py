"""What is shipped for the rows of a shop's page, and the deliveries of that."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import models

from kaspi_delivery_django import orders
from kaspi_delivery_django.exceptions import NoAdapter
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.models.deliveries import DeliveryQuerySet
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services.db import rows_of
from kaspi_delivery_django.services.deliveries.identities import SETTING, content_type_of, fitting

BATCH_SIZE = 1000


class ShippedRows:
    """What is shipped for the rows of a model: the rows themselves, or their parcels; and their newest deliveries.

    `path` is the lookup that leads to the parcels; see `orders.shipments_of`.
    """

    def __init__(self, model: type[models.Model], path: str = "") -> None:
        self.model = model
        self.shipments = orders.shipments_of(model, path)

    @property
    def adapter(self) -> AnyAdapter:
        """The adapter of what is shipped. Raises `NoAdapter`."""
        if self.shipments is None:
            raise NoAdapter(f"No adapter in {SETTING} is for {self.model._meta.label}.")
        return self.shipments.adapter

    @property
    def lookup(self) -> str:
        """The lookup from a row to the primary key of what is shipped."""
        path = self.shipments.path if self.shipments else ""
        name = orders.key_name(self.adapter.model_class())
        return f"{path}__{name}" if path else name

    def of(self, row: models.Model) -> list[Any]:
        if self.shipments is None or not self.shipments.path:
            return [row] if self.shipments else []
        parcels = rows_of(self.adapter.model_class())
        return list(parcels.filter(pk__in=[key for _pk, key in self._keys([row.pk])]).order_by("pk"))

    def unbooked(self, row: models.Model) -> list[Any]:
        """Return what is shipped of one row and has no delivery yet. Raises `NoAdapter`."""
        name = orders.key_name(self.adapter.model_class())
        booked = {delivery.object_id for delivery in self.newest([row]).get(row.pk, ())}
        return [one for one in self.of(row) if fitting(str(getattr(one, name))) not in booked]

    def object_ids(self, rows: Iterable[models.Model]) -> dict[Any, list[str]]:
        """Return the texts that deliveries are found by, by the rows' primary keys. One query, for parcels alone."""
        if self.shipments is None:
            return {}
        if not self.shipments.path:
            return {row.pk: [fitting(str(getattr(row, self.lookup)))] for row in rows}
        found = defaultdict(list)
        for pk, key in self._keys([row.pk for row in rows]):
            found[pk].append(fitting(str(key)))
        return found

    def deliveries(self, object_ids: Sequence[str]) -> DeliveryQuerySet:
        """Return the deliveries and returns of these, found by an index: the newest first, a return after its own."""
        kind = content_type_of(self.adapter)
        own: DeliveryQuerySet = Delivery.objects.all()
        of_these = own.filter(content_type=kind, object_id__in=object_ids)
        return of_these.order_by("object_id", "parcel", "-generation", "returned_generation")

    def newest(self, rows: Iterable[models.Model]) -> dict[Any, list[Delivery]]:
        """Return the newest delivery of each parcel, whatever its environment, by the rows' primary keys.

        Returns are left out.
        """
        found = self.newest_and_returns(rows)
        return {pk: [one for one in own if not one.is_return] for pk, own in found.items()}

    def newest_and_returns(self, rows: Iterable[models.Model]) -> dict[Any, list[Delivery]]:
        """Return the newest delivery, and the newest return, of each parcel, by the rows' primary keys."""
        object_ids = self.object_ids(rows)
        texts = [text for own in object_ids.values() for text in own]
        found: dict[str, dict[tuple[str, bool], Delivery]] = defaultdict(dict)
        for batch in (texts[start : start + BATCH_SIZE] for start in range(0, len(texts), BATCH_SIZE)):
            for one in self.deliveries(batch).defer("raw").order_by("pk"):
                found[one.object_id][one.parcel, one.is_return] = one
        return {pk: [one for text in own for one in found[text].values()] for pk, own in object_ids.items()}

    def having(self, rows: models.QuerySet[Any], object_ids: Iterable[str]) -> models.QuerySet[Any]:
        """Filter the rows for which one of these is shipped. Ours are texts, and no engine joins that by an index."""
        if self.shipments is None:
            return rows.none()
        model = self.adapter.model_class()
        found = {f"{self.lookup}__in": [text for text in object_ids if orders.is_key(model, text)]}
        if not self.shipments.path:
            return rows.filter(**found)  # a child has its parent's key too
        return rows.filter(pk__in=self.model._base_manager.filter(**found).values("pk"))

    def _keys(self, pks: Sequence[Any]) -> list[tuple[Any, Any]]:
        rows = rows_of(self.model)
        shipped = rows.filter(**{"pk__in": pks, f"{self.lookup}__isnull": False})
        return list(shipped.order_by(self.lookup).values_list("pk", self.lookup).distinct())
