"""Why a delivery needs manual review."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Attention(models.TextChoices):
    """A reason for manual review."""

    ADAPTER_FAILED = "adapter_failed", _("The shop's adapter failed")
    DATA_ERROR = "data_error", _("The database cannot store its data")
    REFUSED = "refused", _("Kaspi refused the request")
    OUTCOME_UNKNOWN = "outcome_unknown", _("It is unknown whether Kaspi booked it")
    KEY_REUSED = "key_reused", _("The idempotency key was used with another payload")
    PAYLOAD_CHANGED = "payload_changed", _("The stored request was changed after it was written")
    FOREIGN_DELIVERY = "foreign_delivery", _("Kaspi answered with another order's delivery")
    SECOND_PARCEL = "second_parcel", _("Kaspi reports a second delivery for this order")
    CONTRADICTION = "contradiction", _("Kaspi's messages contradict each other")
    TOO_OLD = "too_old", _("It waited too long to be sent automatically")
    CONFIGURATION_CHANGED = "configuration_changed", _("Key, environment or address has changed")
    ORDER_EDITED = "order_edited", _("The order was edited after it was booked")
    CANCEL_REFUSED = "cancel_refused", _("Kaspi refused the cancellation")
    CANCEL_UNKNOWN = "cancel_unknown", _("It is unknown whether Kaspi cancelled it")
    NOT_FOUND = "not_found", _("Kaspi does not know the delivery")
    NOT_WANTED = "not_wanted", _("The shop's adapter does not want it sent (yet)")
    UNKNOWN_STATUS = "unknown_status", _("Its status is new to this version, and has lasted")
