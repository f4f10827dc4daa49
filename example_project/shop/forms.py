"""The checkout form, and the phone field it shares with the admin."""

from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from example_project.shop import phones
from example_project.shop.models import Order, OrderLine, Product


class PhoneField(forms.CharField):
    """Takes a Kazakhstan number as people write it, and keeps it in one form."""

    widget = forms.TextInput(attrs={"type": "tel", "autocomplete": "tel", "placeholder": "+7 701 234 5678"})

    def clean(self, value: Any) -> str:
        """Return the number in its one form."""
        return phones.normalise(super().clean(value))


class OrderForm(forms.ModelForm):  # type: ignore[type-arg]  # no generics at run time
    """An order as staff edit it."""

    phone = PhoneField(label=_("Phone"))

    class Meta:
        model = Order
        fields = ["customer_name", "phone", "address", "courier_notes", "paid", "cancelled"]


class CheckoutForm(forms.ModelForm):  # type: ignore[type-arg]  # no generics at run time
    """What the customer fills in; there is no cart and, this being an example, no payment."""

    phone = PhoneField(label=_("Phone"), help_text=_("The courier calls this number."))
    quantity = forms.IntegerField(label=_("Quantity"), min_value=1, max_value=20, initial=1)

    class Meta:
        model = Order
        fields = ["customer_name", "phone", "address", "courier_notes"]
        labels = {"customer_name": _("Your name")}
        widgets = {
            "customer_name": forms.TextInput(attrs={"autocomplete": "name"}),
            "address": forms.TextInput(attrs={"autocomplete": "street-address"}),
        }
        help_texts = {
            "address": _("Street, house, flat. We deliver in Almaty."),
            "courier_notes": _("Entrance, floor, door code, if it helps."),
        }

    def place(self, product: Product) -> Order:
        """Save the order and its line together, as paid: that is what books the courier."""
        with transaction.atomic():
            self.instance.paid = True
            order: Order = self.save()
            OrderLine.objects.create(
                order=order,
                product=product,
                quantity=self.cleaned_data["quantity"],
                price_kzt=product.price_kzt,
            )
        return order
