"""What staff answer before something is done: nothing but a yes, a reason, an id, or a name that is typed."""

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.client.types import MAX_REASON_LENGTH, is_identifier
from kaspi_delivery_django.services.deliveries import rules


def focused() -> forms.TextInput:
    return forms.TextInput(attrs={"autofocus": True})


class ConfirmForm(forms.Form):
    """Nothing but a yes. `row` is the one that it is about, None for several.

    Answers that are `personal` are not repeated in the admin's log.
    """

    personal: tuple[str, ...] = ()

    def __init__(self, *args: Any, row: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row = row


class CancelForm(ConfirmForm):
    personal = ("reason",)
    reason = forms.CharField(label=_("Reason"), max_length=MAX_REASON_LENGTH, widget=focused())


class ReturnForm(ConfirmForm):
    personal = ("reason",)
    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("For the staff: neither Kaspi nor the customer reads it."),
        max_length=MAX_REASON_LENGTH,
        required=False,
        widget=focused(),
    )


class LinkForm(ConfirmForm):
    delivery_id = forms.CharField(label=_("Delivery id at Kaspi"), max_length=128, widget=focused())

    def clean_delivery_id(self) -> str:
        """Accept what can be an id; other text would stay in the admin's log."""
        delivery_id = str(self.cleaned_data["delivery_id"])
        if not is_identifier(delivery_id):
            raise forms.ValidationError(gettext("A delivery id has 1 to 128 printable ASCII characters."))
        return delivery_id


class TypedForm(ConfirmForm):
    """A confirmation that no double click can give: the delivery's name, typed.

    For a delivery that Kaspi may have booked it also asks for the confirmation that Kaspi has none.
    """

    name = forms.CharField(label=_("Type the delivery's number to confirm"), max_length=200)
    confirmed_absent = forms.BooleanField(
        label=_("I have looked at Kaspi: it has no delivery of this number."), required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].help_text = gettext("Its number is %(name)s.") % {"name": self.row}
        self.fields["confirmed_absent"].required = True
        if not rules.may_be_booked(self.row):
            del self.fields["confirmed_absent"]

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if name != str(self.row):
            raise forms.ValidationError(gettext("That is not its number."))
        return name


class CountForm(ConfirmForm):
    """A confirmation of several rebookings that no double click can give: their number, typed."""

    count = 0
    number = forms.IntegerField(label=_("Type the number of couriers to confirm"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["number"].help_text = gettext("It is %(count)s.") % {"count": self.count}

    def clean_number(self) -> int:
        number = int(self.cleaned_data["number"])
        if number != self.count:
            raise forms.ValidationError(gettext("That is not the number."))
        return number
