"""Products, orders with their lines, and notices to customers."""

import uuid
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from example_project.shop import phones
from kaspi_delivery_django.models import StatusChange


class Product(models.Model):
    """Something on the shelf."""

    name = models.CharField(_("name of the goods"), max_length=80)
    price_kzt = models.PositiveIntegerField(_("price, ₸"))
    weight_grams = models.PositiveIntegerField(_("weight, g"), validators=[MinValueValidator(1)])
    description = models.TextField(_("description"), blank=True)

    class Meta:
        ordering = ["pk"]
        verbose_name = _("product")
        verbose_name_plural = _("products")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the page where it is ordered."""
        return reverse("shop:checkout", args=[self.pk])

    @property
    def label(self) -> str:
        """Its name in the reader's language, as far as it is translated."""
        return pgettext("goods", self.name)

    @property
    def text(self) -> str:
        """Its description in the reader's language, as far as it is translated."""
        return pgettext("goods", self.description) if self.description else ""


class Order(models.Model):
    """An order. `token` names its page, and cannot be guessed."""

    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    customer_name = models.CharField(_("customer's name"), max_length=80)
    phone = models.CharField(_("phone"), max_length=20, validators=[phones.validate])
    address = models.CharField(_("address"), max_length=200)
    courier_notes = models.CharField(_("notes for the courier"), max_length=200, blank=True)
    paid = models.BooleanField(_("paid"), default=False)
    cancelled = models.BooleanField(_("order cancelled"), default=False)
    created_at = models.DateTimeField(_("ordered at"), auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("order")
        verbose_name_plural = _("orders")

    def __str__(self) -> str:
        return gettext("Order %(number)s") % {"number": self.number}

    def get_absolute_url(self) -> str:
        """Return the page where the customer follows the parcel."""
        return reverse("shop:order", args=[self.token])

    @property
    def number(self) -> str:
        """The number for the customer, such as 2026-00006."""
        return f"{self.created_at.year}-{self.pk:05}"

    @property
    def total_kzt(self) -> int:
        """What the customer pays, in tenge."""
        return sum(line.total_kzt for line in self.lines.all())


class OrderLine(models.Model):
    """Some pieces of one product, at the price of the day."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines", verbose_name=_("order"))
    product = models.ForeignKey(Product, models.PROTECT, related_name="+", verbose_name=_("product"))
    quantity = models.PositiveSmallIntegerField(_("quantity"), default=1, validators=[MinValueValidator(1)])
    price_kzt = models.PositiveIntegerField(
        _("price, ₸"), blank=True, help_text=_("Left empty: the product's price today.")
    )

    class Meta:
        verbose_name = _("order line")
        verbose_name_plural = _("order lines")

    def __str__(self) -> str:
        return f"{self.quantity} \N{MULTIPLICATION SIGN} {self.product}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Take the product's price where none was given."""
        if self.price_kzt is None:
            self.price_kzt = self.product.price_kzt  # type: ignore[unreachable]  # an empty form field
        super().save(*args, **kwargs)

    @property
    def label(self) -> str:
        """The line in the customer's language; the parcel's description, which Kaspi gets, is in one."""
        return f"{self.quantity} \N{MULTIPLICATION SIGN} {self.product.label}"

    @property
    def total_kzt(self) -> int:
        """The line's sum, in tenge."""
        return self.quantity * self.price_kzt


class CustomerNotice(models.Model):
    """A notice to the customer about one change of the delivery's status."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="notices", verbose_name=_("order"))
    change = models.OneToOneField(StatusChange, models.CASCADE, related_name="+", verbose_name=_("status change"))
    text = models.CharField(_("text"), max_length=200)
    created_at = models.DateTimeField(_("sent at"), auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        verbose_name = _("notice")
        verbose_name_plural = _("notices")

    def __str__(self) -> str:
        return self.text
