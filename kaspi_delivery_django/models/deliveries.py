"""The mirror of Kaspi's deliveries, and why a person is needed."""

from datetime import UTC, datetime
from functools import reduce
from operator import or_
from string import digits
from typing import ClassVar, Self

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf, statuses
from kaspi_delivery_django.models.fields import ExactCharField, WrittenModel, WrittenQuerySet


class Attention(models.TextChoices):
    """Why a person is needed."""

    ADAPTER_FAILED = "adapter_failed", _("The shop's adapter failed")
    DATA_ERROR = "data_error", _("The database cannot store its data")
    REFUSED = "refused", _("Kaspi refused the request")
    OUTCOME_UNKNOWN = "outcome_unknown", _("Nobody knows whether Kaspi booked it")
    KEY_REUSED = "key_reused", _("The idempotency key was used with another payload")
    PAYLOAD_CHANGED = "payload_changed", _("The stored request was changed after it was written")
    FOREIGN_DELIVERY = "foreign_delivery", _("Kaspi answered with another order's delivery")
    SECOND_PARCEL = "second_parcel", _("Kaspi speaks of a second delivery for this order")
    CONTRADICTION = "contradiction", _("Kaspi's messages contradict each other")
    TOO_OLD = "too_old", _("It waited too long to be sent by itself")
    CONFIGURATION_CHANGED = "configuration_changed", _("Key, environment or address has changed")
    ORDER_EDITED = "order_edited", _("The order was edited after it was booked")
    CANCEL_REFUSED = "cancel_refused", _("Kaspi refused the cancellation")
    CANCEL_UNKNOWN = "cancel_unknown", _("Nobody knows whether Kaspi cancelled it")
    NOT_FOUND = "not_found", _("Kaspi does not know the delivery")
    NOT_WANTED = "not_wanted", _("The shop's adapter does not want it sent (yet)")
    UNKNOWN_STATUS = "unknown_status", _("Its status is new to this version, and has lasted")


PHONE_TAIL_DIGITS = 10
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  # what is later is not null, and SQLite's index answers that


def phone_tail(phone: str) -> str:
    """Return the last ten digits of a phone, the last one first: what ends alike then begins alike."""
    return "".join(sign for sign in reversed(phone) if sign in digits)[:PHONE_TAIL_DIGITS]


class DeliveryQuerySet(WrittenQuerySet["Delivery"]):
    """Sentences about deliveries."""

    def of_order(self, content_type: ContentType, object_id: str) -> Self:
        """Those of one order, the newest generation first."""
        own = self.filter(content_type=content_type, object_id=object_id)
        return own.order_by("-generation")

    def phone_ending(self, ending: str) -> models.Q:
        """The condition that a customer's phone ends in these digits. Every engine's index answers a range."""
        start = phone_tail(ending)
        return models.Q(phone_tail__gte=start, phone_tail__lte=start.ljust(PHONE_TAIL_DIGITS, "9"))

    def keys_of(self, name: str) -> list[int]:
        """The primary keys of those with this external order id or delivery id, read at once.

        A list that is searched by them asks no other table then: no engine's index answers a join and an "or".
        """
        named = self.filter(models.Q(external_order_id=name) | models.Q(delivery_id=name))
        return list(named.values_list("pk", flat=True))

    def flagged(self) -> Self:
        """Those that need a person."""
        return self.filter(attention__gt="")  # a range, because no engine's index answers "is not"

    def in_unknown_status(self) -> Self:
        """Those that Kaspi has a word for which is new to us, and that have not ended."""
        return self.filter(next_refresh_at__gt=LONG_AGO).exclude(status__in=statuses.RANKS)

    def overdue(self, now: datetime) -> Self:
        """Those on their way that Kaspi promised to have brought by now.

        Ranges again: an index is read only where SQLite takes what is looked for as rare.
        """
        on_their_way = (models.Q(status__range=(status, status)) for status in statuses.OPEN)
        return self.filter(reduce(or_, on_their_way), delivery_by__lt=now)

    def awaiting_pickup(self) -> Self:
        """Booked ones that the courier has not picked up, as far as we know."""
        return self.filter(status__in=statuses.AWAITING_PICKUP, delivery_id__isnull=False)

    def stale(self, now: datetime) -> Self:
        """Open ones that Kaspi has not spoken of for too long, the stalest first."""
        return self.filter(next_refresh_at__lte=now).order_by("next_refresh_at")


class Delivery(WrittenModel):
    """The courier's job, mirrored from Kaspi. `status` is Kaspi's word, empty until it is known."""

    account = ExactCharField(_("account"), max_length=40)
    environment = ExactCharField(_("environment"), max_length=16)
    content_type = models.ForeignKey(
        ContentType, models.PROTECT, related_name="+", verbose_name=_("order type"), db_index=False
    )
    object_id = ExactCharField(_("order id"), max_length=64)
    order = GenericForeignKey("content_type", "object_id")
    generation = models.PositiveSmallIntegerField(_("generation"), default=1)
    external_order_id = ExactCharField(_("external order id"), max_length=128, null=True)
    delivery_id = ExactCharField(_("delivery id"), max_length=128, null=True)
    status = ExactCharField(_("status"), max_length=64, default="", blank=True)
    status_at = models.DateTimeField(_("status since"), null=True)
    tracking_url = models.CharField(_("tracking address"), max_length=500, default="", blank=True)
    pickup_by = models.DateTimeField(_("pickup by"), null=True)
    delivery_by = models.DateTimeField(_("delivery by"), null=True)
    pickup_address = models.TextField(_("pickup address"), default="", blank=True)
    pickup_name = models.TextField(_("pickup name"), default="", blank=True)
    pickup_phone = models.CharField(_("pickup phone"), max_length=32, default="", blank=True)
    pickup_notes = models.TextField(_("pickup notes"), default="", blank=True)
    dropoff_address = models.TextField(_("dropoff address"), default="", blank=True)
    dropoff_name = models.TextField(_("dropoff name"), default="", blank=True)
    dropoff_phone = models.CharField(_("dropoff phone"), max_length=32, default="", blank=True)
    phone_tail = models.CharField(
        _("phone's last digits, backwards"), max_length=PHONE_TAIL_DIGITS, default="", db_default="", blank=True
    )
    dropoff_notes = models.TextField(_("dropoff notes"), default="", blank=True)
    parcel_description = models.TextField(_("parcel description"), default="", blank=True)
    parcel_weight_grams = models.PositiveIntegerField(_("weight, grams"), null=True)
    parcel_value_kzt = models.PositiveIntegerField(_("declared value, tenge"), null=True)
    raw = models.TextField(_("Kaspi's last answer"), default="", blank=True)
    cancel_requested_at = models.DateTimeField(_("cancel requested at"), null=True)
    cancel_reason = models.TextField(_("cancel reason"), default="", blank=True)
    attention = models.CharField(_("attention"), max_length=40, default="", blank=True)
    raised_reasons = models.CharField(
        _("reasons raised so far"), max_length=600, default="", db_default="", blank=True, editable=False
    )
    unwanted_since = models.DateTimeField(_("not wanted by the adapter since"), null=True)
    send_anyway_at = models.DateTimeField(_("staff had it sent at"), null=True)
    next_refresh_at = models.DateTimeField(_("next refresh at"), null=True)
    order_sha256 = models.CharField(_("order's SHA-256 as last seen"), max_length=64, default="", blank=True)
    final_at = models.DateTimeField(_("marked as final at"), null=True)
    final_asked_at = models.DateTimeField(_("flagged for its unknown status at"), null=True)
    blanked_at = models.DateTimeField(_("personal data blanked at"), null=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    locked_at: datetime | None = None  # no column: the database's time when this row was locked

    objects: ClassVar = DeliveryQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        permissions = [
            ("cancel_delivery", _("Can cancel deliveries")),
            ("retry_delivery", _("Can retry calls to Kaspi")),
            ("reissue_delivery", _("Can book an order's next delivery")),
            ("view_personal_data", _("Can see phones, names and addresses")),
        ]
        constraints = [
            models.UniqueConstraint(  # whichever account ships it; the order first: it is looked up by it alone
                fields=["object_id", "content_type", "environment", "generation"],
                name="kaspi_delivery_one_per_order",
            ),
            models.UniqueConstraint(  # the id first: people search by it alone
                fields=["external_order_id", "account", "environment"], name="kaspi_delivery_by_external_id"
            ),
            models.UniqueConstraint(
                fields=["delivery_id", "account", "environment"], name="kaspi_delivery_by_delivery_id"
            ),
        ]
        indexes = [
            models.Index(fields=["account", "id"], name="kaspi_delivery_by_account"),
            models.Index(fields=["status", "status_at"], name="kaspi_delivery_by_status"),
            models.Index(fields=["phone_tail"], name="kaspi_delivery_by_phone"),
            models.Index(fields=["created_at"], name="kaspi_delivery_by_age"),
            models.Index(fields=["cancel_requested_at"], name="kaspi_delivery_by_cancel"),
            models.Index(fields=["next_refresh_at"], name="kaspi_delivery_next_refresh"),
            models.Index(fields=["attention"], name="kaspi_delivery_attention"),
            models.Index(fields=["blanked_at", "status_at"], name="kaspi_delivery_to_blank"),
        ]

    def __str__(self) -> str:
        return self.external_order_id or f"{self.content_type_id}/{self.object_id}"

    @property
    def is_open(self) -> bool:
        """Whether something is to come: the status is not final, and staff did not mark it as final."""
        return self.final_at is None and not conf.is_final(self.status)

    @property
    def is_before_pickup(self) -> bool:
        """Whether the courier has not taken the parcel yet, as far as we know."""
        return self.status in statuses.CANCELLABLE

    @property
    def is_cancellable(self) -> bool:
        """Whether Kaspi may still take a cancel: it decides about a status that is new to us, unless that is final."""
        return statuses.is_cancellable(self.status) and self.is_open

    @property
    def is_live(self) -> bool:
        """Whether there is a parcel at Kaspi: booked, and not cancelled."""
        return self.delivery_id is not None and self.status != statuses.CANCELLED

    @property
    def status_snapshot(self) -> statuses.StatusSnapshot:
        """The status with its time."""
        return statuses.StatusSnapshot(self.status, self.status_at)

    def has_successor(self) -> bool:
        """Tell whether a later generation of the order exists."""
        return self._siblings().filter(generation__gt=self.generation).exists()

    def has_live_predecessor(self) -> bool:
        """Tell whether an earlier generation of the order turned out to be a parcel after all."""
        if self.generation == 1:
            return False
        return any(one.is_live for one in self._siblings().filter(generation__lt=self.generation))

    def _siblings(self) -> DeliveryQuerySet:
        same_order = type(self).objects.of_order(self.content_type, self.object_id)
        return same_order.filter(environment=self.environment)
