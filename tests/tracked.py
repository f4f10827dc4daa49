"""A delivery with a history to show to its customer, and with marks in every column that is not shown."""

from datetime import timedelta

from django.db.models import CharField, IntegerField, TextField

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from tests.conftest import NOON

SECRET = "SECRET"
SHOWN = {"status", "tracking_url", "environment", "object_id", "account"}
KNOWN = {"created_at": NOON, "notify_after": NOON, "source": "webhook"}


def add(delivery, status, *, minutes=0, applied=True, **fields):
    """Add a row to a delivery's history."""
    at = NOON + timedelta(minutes=minutes)
    return StatusChange.objects.create(delivery=delivery, to_status=status, at=at, applied=applied, **KNOWN | fields)


def stand(delivery, status, *rows, **fields):
    """Set the status and a history of (status, minutes after noon, applied); return the delivery as it is stored."""
    Delivery.objects.filter(pk=delivery.pk).update(status=status, status_at=NOON, **fields)
    delivery.history.all().delete()
    for word, minutes, applied in rows:
        add(delivery, word, minutes=minutes, applied=applied)
    return Delivery.objects.get(pk=delivery.pk)


def mark(delivery):
    """Write a secret into every column that is not to be shown, of the delivery and its rows; return the secrets."""
    secrets = []
    for model, rows in (
        (Delivery, Delivery.objects.filter(pk=delivery.pk)),
        (ApiCall, ApiCall.objects.filter(delivery=delivery)),
        (StatusChange, delivery.history),
    ):
        values = {field.name: secret_for(field, len(secrets) + number) for number, field in enumerate(hidden(model))}
        secrets.extend(str(value) for value in values.values())
        rows.update(**values)
    return secrets


def hidden(model):
    """Return the columns of texts and figures that are not for the customer."""
    kept = {*SHOWN, "to_status"} if model is not ApiCall else {"kind", "state"}
    return [field for field in model._meta.fields if is_free(field) and field.name not in kept]


def is_free(field):
    """Return whether a column accepts any text or figure."""
    kinds = (CharField, TextField, IntegerField)
    return isinstance(field, kinds) and not (field.primary_key or field.choices or field.is_relation)


def secret_for(field, number):
    """Return a unique value, as long as the column accepts."""
    return 31000 + number if isinstance(field, IntegerField) else f"{number}{SECRET}"[: field.max_length]
