"""Deliveries: the mirror of Kaspi's."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf, statuses
from kaspi_delivery_django.models import search
from kaspi_delivery_django.models.fields import ExactCharField, SearchKeyField, WrittenModel, WrittenQuerySet

ORDER_LABEL_LENGTH = 100
LEAST_PHONE_DIGITS = 4
PARCEL_COLUMNS = ("object_id", "content_type", "environment", "parcel")
PARCEL_KEY_LENGTH = 20
FLAG_UNKNOWN_AFTER = timedelta(days=1)  # a status that is new to this version, and stays
CUSTOMER_KEYS = ("name_key", "surname_key", "city_key")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  # "later than" excludes null, and SQLite answers it by the index


def _phone_ending(term: str) -> models.Q:
    """Return the condition that a customer's phone ends in these digits; an empty one for what is no phone."""
    digits_given = sum(sign.isascii() and sign.isdigit() for sign in term)
    if digits_given < LEAST_PHONE_DIGITS or set(term) - set("+-() 0123456789"):
        return models.Q()
    start = search.phone_tail(term)  # a range, which every index answers
    return models.Q(phone_tail__gte=start, phone_tail__lte=start.ljust(search.PHONE_TAIL_DIGITS, "9"))


class DeliveryQuerySet(WrittenQuerySet["Delivery"]):
    """Queries about deliveries."""

    def of_order(self, content_type: ContentType, object_id: str) -> Self:
        """Filter one order's deliveries to its customer, the newest generation first; returns are left out."""
        own = self.filter(content_type=content_type, object_id=object_id).outbound()
        return own.order_by("-generation", "pk")

    def outbound(self) -> Self:
        """Filter deliveries to customers: all but the returns."""
        return self.filter(returned_generation=0)

    def with_successors(self) -> Self:
        """Annotate whether there is a later generation, which `has_successor` then returns without a query."""
        same = {name: models.OuterRef(name) for name in (*PARCEL_COLUMNS, "returned_generation")}
        later = self.model.objects.filter(**same, generation__gt=models.OuterRef("generation"))
        return self.annotate(known_successor=models.Exists(later))

    def with_returns(self) -> Self:
        """Annotate whether a return is booked, which `has_return` then returns without a query."""
        same = {name: models.OuterRef(name) for name in PARCEL_COLUMNS}
        own = models.OuterRef("generation")  # as a range: for an equality PostgreSQL may hash the whole table
        back = self.model.objects.filter(**same, returned_generation__range=(own, own))
        return self.annotate(known_return=models.Exists(back))

    def matching(self, term: str, *, order_ids: Iterable[str] = (), shows_personal: bool = False) -> models.Q:
        """Return the condition that a delivery has this id, number, phone, name or city.

        Deliveries that have the term as whole words come before those that have a longer word: order 74 before 742.
        """
        phones = _phone_ending(term) if shows_personal else models.Q()
        exact = models.Q(external_order_id=term) | models.Q(delivery_id=term) | models.Q(object_id__in=order_ids)
        whole = exact | self._keys_beginning(term, shows_personal=shows_personal, whole_words=True)
        is_known = self.filter(whole).exists()
        found = whole if is_known else exact | self._keys_beginning(term, shows_personal=shows_personal)
        return found | phones

    def _keys_beginning(self, term: str, *, shows_personal: bool, whole_words: bool = False) -> models.Q:
        number, words = search.number_key(term), search.words_key(term)
        ids = search.beginning(["external_key"], number, whole_words=whole_words)
        labels = search.beginning(["label_key"], number, whole_words=whole_words)
        if shows_personal:
            people = CUSTOMER_KEYS if any(map(str.isalpha, words)) else ()  # SQLite reads all rows for many conditions
            return ids | labels | search.beginning(people, words, whole_words=whole_words)
        return ids | (labels & models.Q(label_is_personal=False)) if labels else ids

    def flagged(self) -> Self:
        """Filter deliveries that need manual review."""
        return self.filter(attention__gt="")  # a range, because no engine's index answers "is not"

    def in_unknown_status(self) -> Self:
        """Filter open deliveries whose status is unknown to this version."""
        return self.filter(next_refresh_at__gt=LONG_AGO).exclude(status__in=statuses.RANKS)

    def overdue(self, now: datetime) -> Self:
        """Filter open deliveries that are later than Kaspi promised.

        Ranges again: SQLite uses an index only for a condition that it takes as rare.
        """
        open_statuses = (models.Q(status__range=(status, status)) for status in statuses.OPEN)
        return self.filter(reduce(or_, open_statuses), delivery_by__lt=now)

    def awaiting_pickup(self) -> Self:
        """Filter booked deliveries that are not known to be picked up."""
        return self.filter(status__in=statuses.AWAITING_PICKUP, delivery_id__isnull=False)

    def served(self) -> Self:
        """Filter the deliveries of the environments that the settings have now."""
        return self.filter(environment__in={account.environment for account in conf.current().accounts.values()})

    def leaving(self, *, before: datetime) -> Self:
        """Filter parcels that a courier is to pick up at the shop before this time, or that have no time."""
        is_due = models.Q(pickup_by__isnull=True) | models.Q(pickup_by__lt=before)
        return self.awaiting_pickup().outbound().served().filter(is_due, cancel_requested_at__isnull=True)

    def stale(self, now: datetime) -> Self:
        """Filter deliveries that are due for a refresh, the longest due first."""
        return self.filter(next_refresh_at__lte=now).order_by("next_refresh_at")


class Delivery(WrittenModel):
    """The courier's job, mirrored from Kaspi. `status` is Kaspi's value, empty until it is known."""

    account = ExactCharField(_("account"), max_length=40)
    environment = ExactCharField(_("environment"), max_length=16)
    content_type = models.ForeignKey(
        ContentType, models.PROTECT, related_name="+", verbose_name=_("order type"), db_index=False
    )
    object_id = ExactCharField(_("order id"), max_length=64)
    order = GenericForeignKey("content_type", "object_id")
    generation = models.PositiveSmallIntegerField(_("generation"), default=1)
    parcel = ExactCharField(_("parcel"), max_length=PARCEL_KEY_LENGTH, default="", db_default="", blank=True)
    returned_generation = models.PositiveSmallIntegerField(_("return of generation"), default=0, db_default=0)
    return_reason = models.TextField(_("reason of the return"), default="", blank=True)
    external_order_id = ExactCharField(_("external order id"), max_length=128, null=True)
    external_key = SearchKeyField(_("external order id, as it is searched"), max_length=search.KEY_LENGTH)
    order_label = models.CharField(
        _("order's name in the shop"), max_length=ORDER_LABEL_LENGTH, default="", db_default="", blank=True
    )
    label_is_personal = models.BooleanField(_("order's name may be personal"), default=True, db_default=True)
    label_key = SearchKeyField(_("order's name, as it is searched"), max_length=search.KEY_LENGTH)
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
        _("phone's last digits, reversed"), max_length=search.PHONE_TAIL_DIGITS, default="", db_default="", blank=True
    )
    name_key = SearchKeyField(_("customer's name, as it is searched"), max_length=search.KEY_LENGTH)
    surname_key = SearchKeyField(_("customer's second name, as it is searched"), max_length=search.KEY_LENGTH)
    city_key = SearchKeyField(_("city, as it is searched"), max_length=search.KEY_LENGTH)
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
    send_anyway_at = models.DateTimeField(_("sent by staff at"), null=True)
    not_before = models.DateTimeField(_("to be booked from"), null=True)
    send_early_at = models.DateTimeField(_("sent early by staff at"), null=True)
    next_refresh_at = models.DateTimeField(_("next refresh at"), null=True)
    order_sha256 = models.CharField(_("order's SHA-256 as last seen"), max_length=64, default="", blank=True)
    final_at = models.DateTimeField(_("marked as final at"), null=True)
    final_asked_at = models.DateTimeField(_("flagged for its unknown status at"), null=True)
    blanked_at = models.DateTimeField(_("personal data anonymized at"), null=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    known_successor: bool | None = None  # not a column: what `with_successors` has read
    known_return: bool | None = None  # not a column: what `with_returns` has read
    locked_at: datetime | None = None  # not a column: the database's time when this row was locked

    objects: ClassVar = DeliveryQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        permissions = [
            ("cancel_delivery", _("Can cancel deliveries")),
            ("retry_delivery", _("Can retry calls to Kaspi")),
            ("reissue_delivery", _("Can book an order's next delivery")),
            ("return_delivery", _("Can book returns")),
            ("view_personal_data", _("Can see phones, names and addresses")),
        ]
        constraints = [
            models.UniqueConstraint(  # whichever account ships it; the order first: it is looked up by it alone
                fields=["object_id", "content_type", "environment", "parcel", "returned_generation", "generation"],
                name="kaspi_delivery_one_per_order",
            ),
            models.UniqueConstraint(  # the id first: staff search by it alone
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
            models.Index(fields=["external_key"], name="kaspi_delivery_by_number"),
            models.Index(fields=["label_key"], name="kaspi_delivery_by_label"),
            models.Index(fields=["name_key"], name="kaspi_delivery_by_name"),
            models.Index(fields=["surname_key"], name="kaspi_delivery_by_surname"),
            models.Index(fields=["city_key"], name="kaspi_delivery_by_city"),
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
        """Whether the status may still change: it is not final, and staff did not mark it as final."""
        return self.final_at is None and not conf.is_final(self.status)

    @property
    def is_return(self) -> bool:
        """Whether it brings a parcel back from the customer to the shop."""
        return self.returned_generation > 0

    @property
    def customer_name(self) -> str:
        """Who receives the parcel; of a return, who hands it over."""
        return self.pickup_name if self.is_return else self.dropoff_name

    @property
    def customer_address(self) -> str:
        """Where the parcel is brought; of a return, where it is fetched."""
        return self.pickup_address if self.is_return else self.dropoff_address

    @property
    def is_before_pickup(self) -> bool:
        """Whether the parcel is not known to be picked up."""
        return self.status in statuses.CANCELLABLE

    @property
    def is_cancellable(self) -> bool:
        """Whether Kaspi may accept a cancel: Kaspi decides about an unknown status, unless it is final."""
        return statuses.is_cancellable(self.status) and self.is_open

    @property
    def is_live(self) -> bool:
        """Whether Kaspi has the parcel: it is booked and not cancelled."""
        return self.delivery_id is not None and self.status != statuses.CANCELLED

    @property
    def is_held(self) -> bool:
        """Whether the delivery waits because its adapter does not want it sent."""
        return self.unwanted_since is not None and self.delivery_id is None and self.is_open

    @property
    def is_postponed(self) -> bool:
        """Whether the delivery waits for the time from which its adapter wants it booked."""
        is_waiting = self.not_before is not None and not self.is_held and not self.attention
        return is_waiting and self.delivery_id is None and self.is_open

    @property
    def has_unknown_status(self) -> bool:
        """Whether this version does not know the status."""
        return self.status not in statuses.RANKS

    @property
    def allowed_tracking_url(self) -> str:
        """The tracking URL if it is https and its host is in TRACKING_HOSTS, else an empty string."""
        try:
            parts = urlsplit(self.tracking_url)
        except ValueError:
            return ""
        is_plain = self.tracking_url.isascii() and self.tracking_url.isprintable()  # urlsplit drops others
        is_allowed = is_plain and parts.scheme == "https" and parts.netloc in conf.current().tracking_hosts
        return self.tracking_url if is_allowed else ""

    def age_of_status(self, now: datetime) -> timedelta:
        """Return for how long the delivery has had its status."""
        return now - (self.status_at or now)

    def has_successor(self) -> bool:
        """Return whether there is a later generation."""
        if self.known_successor is not None:
            return self.known_successor
        return self._siblings().filter(generation__gt=self.generation).exists()

    def has_live_predecessor(self) -> bool:
        """Return whether an earlier generation is live at Kaspi."""
        if self.generation == 1:
            return False
        return any(one.is_live for one in self._siblings().filter(generation__lt=self.generation))

    def has_return(self) -> bool:
        """Return whether a return is booked, or was."""
        return self.returns().exists() if self.known_return is None else self.known_return

    def returns(self) -> DeliveryQuerySet:
        """Return the returns of this delivery, the newest first; none of a return."""
        back = self._of_same_parcel().filter(returned_generation=self.generation)
        return back.none() if self.is_return else back.order_by("-generation")

    def returned_delivery(self) -> "Delivery":
        """Return the delivery that this return brings back. Raises `Delivery.DoesNotExist`."""
        return self._of_same_parcel().get(returned_generation=0, generation=self.returned_generation)

    def _siblings(self) -> DeliveryQuerySet:
        """Return the generations of the parcel's delivery; of a return, those of the return."""
        return self._of_same_parcel().filter(returned_generation=self.returned_generation)

    def _of_same_parcel(self) -> DeliveryQuerySet:
        own: dict[str, Any] = {name: getattr(self, name) for name in PARCEL_COLUMNS}
        return type(self).objects.filter(**own)
