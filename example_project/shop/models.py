"""Products, orders with their lines, and what customers were told."""

import uuid
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse

from example_project.shop import phones
from kaspi_delivery_django.models import StatusChange


class Product(models.Model):
    """Something on the shelf."""

    name = models.CharField(max_length=80)
    price_kzt = models.PositiveIntegerField("price, ₸")
    weight_grams = models.PositiveIntegerField("weight, g", validators=[MinValueValidator(1)])
    description = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the page where it is ordered."""
        return reverse("shop:checkout", args=[self.pk])


class Order(models.Model):
    """What somebody ordered. `token` names its page, which nobody can guess."""

    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    customer_name = models.CharField("name", max_length=80)
    phone = models.CharField(max_length=20, validators=[phones.validate])
    address = models.CharField(max_length=200)
    courier_notes = models.CharField("notes for the courier", max_length=200, blank=True)
    paid = models.BooleanField(default=False)
    cancelled = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"Order {self.pk}"

    def get_absolute_url(self) -> str:
        """Return the page where the customer follows the parcel."""
        return reverse("shop:order", args=[self.token])

    @property
    def total_kzt(self) -> int:
        """What the customer pays, in tenge."""
        return sum(line.total_kzt for line in self.lines.all())


class OrderLine(models.Model):
    """Some pieces of one product, at the price of the day."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, models.PROTECT, related_name="+")
    quantity = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    price_kzt = models.PositiveIntegerField("price, ₸", blank=True, help_text="Left empty: the product's price today.")

    def __str__(self) -> str:
        return f"{self.quantity} \N{MULTIPLICATION SIGN} {self.product}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Take the product's price where none was given."""
        if self.price_kzt is None:
            self.price_kzt = self.product.price_kzt  # type: ignore[unreachable]  # an empty form field
        super().save(*args, **kwargs)

    @property
    def total_kzt(self) -> int:
        """The line's sum, in tenge."""
        return self.quantity * self.price_kzt


class CustomerNotice(models.Model):
    """What the customer was told about one change of the delivery's status."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="notices")
    change = models.OneToOneField(StatusChange, models.CASCADE, related_name="+")
    text = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.text
