"""Orders of several shapes."""

import uuid

from django.db import models
from django.utils import timezone


class Order(models.Model):
    """A row that ships."""

    paid = models.BooleanField(default=True)
    cancelled = models.BooleanField(default=False)
    address = models.CharField(max_length=200, default="Abay 1, Almaty")
    phone = models.CharField(max_length=40, default="+7 727 111 0000")
    name = models.CharField(max_length=80, default="Aigerim", editable=False)
    weight_grams = models.PositiveIntegerField(default=500, editable=False)
    total = models.DecimalField(max_digits=12, decimal_places=2, default=9900, editable=False)
    warehouse = models.CharField(max_length=40, default="Almaty", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)


class Line(models.Model):
    """What is in it."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    title = models.CharField(max_length=100)


class ProxyOrder(Order):
    """The same row under another name."""

    class Meta:
        proxy = True


class GiftOrder(Order):
    """A multi-table child."""

    card = models.CharField(max_length=100, default="")


class Note(models.Model):
    """A row that has nothing to do with shipping."""

    text = models.CharField(max_length=100, default="")


class Shipment(models.Model):
    """One of the parcels that an order is split into."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    order = models.ForeignKey(Order, models.CASCADE, related_name="shipments")


class AppOrder(models.Model):
    """An order that an app on a phone made, key and all."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    paid = models.BooleanField(default=True)
    cancelled = models.BooleanField(default=False)
    address = models.CharField(max_length=200, default="Abay 1, Almaty")
    phone = models.CharField(max_length=40, default="+7 727 111 0000")
