"""The four tables, and a small fifth. Rows are written by `services/` alone."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import lifecycle

if TYPE_CHECKING:
    ExactCharField = models.CharField  # a plain one for type checkers: Django's has no generics
else:

    class ExactCharField(models.CharField):
        """Text that is compared letter by letter on every engine, MariaDB and MySQL included."""

        def db_parameters(self, connection: Any) -> dict[str, Any]:
            """Ask MariaDB and MySQL, whose collations fold case and accents, for a binary one."""
            parameters = super().db_parameters(connection)
            is_mysql = connection.vendor == "mysql"
            return {**parameters, "collation": "utf8mb4_bin"} if is_mysql else parameters


class Attention(models.TextChoices):
    """Why a person is needed."""

    ADAPTER_FAILED = "adapter_failed", _("The shop's adapter failed")
    REFUSED = "refused", _("Kaspi refused the request")
    OUTCOME_UNKNOWN = "outcome_unknown", _("Nobody knows whether Kaspi booked it")
    KEY_REUSED = "key_reused", _("The idempotency key was used with another payload")
    FOREIGN_DELIVERY = "foreign_delivery", _("Kaspi answered with another order's delivery")
    SECOND_PARCEL = "second_parcel", _("Kaspi speaks of a second delivery for this order")
    CONTRADICTION = "contradiction", _("Kaspi's messages contradict each other")
    TOO_OLD = "too_old", _("It waited too long to be sent by itself")
    CONFIGURATION_CHANGED = "configuration_changed", _("Key, environment or address has changed")
    ORDER_EDITED = "order_edited", _("The order was edited after it was booked")
    CANCEL_REFUSED = "cancel_refused", _("Kaspi refused the cancellation")
    CANCEL_UNKNOWN = "cancel_unknown", _("Nobody knows whether Kaspi cancelled it")
    NOT_FOUND = "not_found", _("Kaspi does not know the delivery")


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Sentences about deliveries."""

    def of_order(self, content_type: ContentType, object_id: str) -> Self:
        """Those of one order, the newest generation first."""
        own = self.filter(content_type=content_type, object_id=object_id)
        return own.order_by("-generation")

    def to_blank(self, ended_before: datetime) -> Self:
        """Ended ones, with nothing left to do, that still hold personal data."""
        over = models.Q(status__in=lifecycle.TERMINAL, status_at__lt=ended_before)
        never_booked = models.Q(status="", delivery_id__isnull=True, updated_at__lt=ended_before)
        busy_calls = ApiCall.objects.filter(delivery=models.OuterRef("pk"), state__in=ApiCall.UNFINISHED)
        untold = StatusChange.objects.filter(delivery=models.OuterRef("pk"), notified_at__isnull=True, applied=True)
        ended = self.filter(over | never_booked, blanked_at__isnull=True, attention="")
        return ended.exclude(models.Exists(busy_calls)).exclude(models.Exists(untold))

    def stale(self, now: datetime) -> Self:
        """Open ones that Kaspi has not spoken of for too long, the stalest first."""
        return self.filter(next_refresh_at__lte=now).order_by("next_refresh_at")


class Delivery(models.Model):
    """The courier's job, mirrored from Kaspi. `status` is Kaspi's word, empty until it is known."""

    account = ExactCharField(_("account"), max_length=40)
    environment = ExactCharField(_("environment"), max_length=16)
    content_type = models.ForeignKey(ContentType, models.PROTECT, related_name="+", verbose_name=_("order type"))
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
    dropoff_notes = models.TextField(_("dropoff notes"), default="", blank=True)
    parcel_description = models.TextField(_("parcel description"), default="", blank=True)
    parcel_weight_grams = models.PositiveIntegerField(_("weight, grams"), null=True)
    parcel_value_kzt = models.PositiveIntegerField(_("declared value, tenge"), null=True)
    raw = models.TextField(_("Kaspi's last answer"), default="", blank=True)
    cancel_requested_at = models.DateTimeField(_("cancel requested at"), null=True)
    cancel_reason = models.TextField(_("cancel reason"), default="", blank=True)
    attention = models.CharField(_("attention"), max_length=40, default="", blank=True)
    next_refresh_at = models.DateTimeField(_("next refresh at"), null=True)
    order_sha256 = models.CharField(_("order's SHA-256 as last seen"), max_length=64, default="", blank=True)
    blanked_at = models.DateTimeField(_("personal data blanked at"), null=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects = DeliveryQuerySet.as_manager()

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
            models.UniqueConstraint(
                fields=["account", "environment", "content_type", "object_id", "generation"],
                name="kaspi_delivery_one_per_generation",
            ),
            models.UniqueConstraint(
                fields=["account", "environment", "external_order_id"], name="kaspi_delivery_external_id"
            ),
            models.UniqueConstraint(
                fields=["account", "environment", "delivery_id"], name="kaspi_delivery_delivery_id"
            ),
        ]
        indexes = [
            models.Index(fields=["content_type", "object_id"], name="kaspi_delivery_order"),
            models.Index(fields=["next_refresh_at"], name="kaspi_delivery_next_refresh"),
            models.Index(fields=["attention"], name="kaspi_delivery_attention"),
            models.Index(fields=["blanked_at", "status_at"], name="kaspi_delivery_to_blank"),
        ]

    def __str__(self) -> str:
        return self.external_order_id or f"{self.content_type_id}/{self.object_id}"

    @property
    def is_open(self) -> bool:
        """Whether Kaspi's last word leaves something to come."""
        return self.status not in lifecycle.TERMINAL

    @property
    def is_before_pickup(self) -> bool:
        """Whether the courier has not taken the parcel yet, as far as we know."""
        return self.status in lifecycle.CANCELLABLE

    @property
    def is_live(self) -> bool:
        """Whether there is a parcel at Kaspi: booked, and not cancelled."""
        return self.delivery_id is not None and self.status != lifecycle.CANCELLED

    @property
    def standing(self) -> lifecycle.Standing:
        """The status with its time."""
        return lifecycle.Standing(self.status, self.status_at)


class ApiCallQuerySet(models.QuerySet["ApiCall"]):
    """Sentences about calls."""

    def due(self, now: datetime) -> Self:
        """Those that somebody must look at now; a claim whose lease has ended is one of them."""
        return self.filter(next_attempt_at__lte=now).order_by("next_attempt_at")

    def of_kind(self, kind: str) -> Self:
        """Those of one kind: create, cancel, refresh or link."""
        return self.filter(kind=kind)


class ApiCall(models.Model):
    """One intended request to Kaspi: the outbox.

    `next_attempt_at` is when somebody must look at the row again: the next try of a due or unknown
    call, the end of the lease of one that is being sent, NULL when there is nothing left to do.
    `reason` says why a refused or stuck call waits for a person. The payload of a link is the
    delivery id that a person named.
    """

    class Kind(models.TextChoices):
        CREATE = "create", _("create")
        CANCEL = "cancel", _("cancel")
        REFRESH = "refresh", _("refresh")
        LINK = "link", _("link")

    class State(models.TextChoices):
        DUE = "due", _("due")
        SENDING = "sending", _("sending")
        DONE = "done", _("done")
        UNKNOWN = "unknown", _("outcome unknown")
        REFUSED = "refused", _("refused")
        STUCK = "stuck", _("waits for a person")
        ABANDONED = "abandoned", _("never sent, no longer wanted")

    UNRESOLVED: ClassVar = (State.DUE, State.SENDING, State.UNKNOWN)
    UNFINISHED: ClassVar = (*UNRESOLVED, State.STUCK)

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="calls", verbose_name=_("delivery"))
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    idempotency_key = ExactCharField(_("idempotency key"), max_length=160)
    payload = models.TextField(_("payload"), default="", blank=True)
    payload_sha256 = models.CharField(_("payload's SHA-256"), max_length=64, default="", blank=True)
    api_key_fingerprint = models.CharField(_("API key's fingerprint"), max_length=16, default="", blank=True)
    base_url = models.CharField(_("sent to"), max_length=200, default="", blank=True)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.DUE)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    strikes = models.PositiveSmallIntegerField(_("like answers in a row"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"), null=True)
    claim_token = models.CharField(_("claim token"), max_length=32, default="", blank=True)
    unknown_since = models.DateTimeField(_("outcome unknown since"), null=True)
    queued_at = models.DateTimeField(_("queued at"))
    http_status = models.PositiveSmallIntegerField(_("last HTTP status"), null=True)
    error_code = models.CharField(_("error code"), max_length=64, default="", blank=True)
    error_message = models.TextField(_("error message"), default="", blank=True)
    reason = models.CharField(_("waits because"), max_length=40, choices=Attention.choices, default="", blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects = ApiCallQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("call")
        verbose_name_plural = _("calls")
        constraints = [models.UniqueConstraint(fields=["delivery", "idempotency_key"], name="kaspi_delivery_call_key")]
        indexes = [models.Index(fields=["next_attempt_at"], name="kaspi_delivery_call_due")]

    def __str__(self) -> str:
        return f"{self.kind} {self.idempotency_key}"


class WebhookEventQuerySet(models.QuerySet["WebhookEvent"]):
    """Sentences about events."""

    def to_prune(self, received_before: datetime) -> Self:
        """Old ones that are dealt with, and whose change the shop's code has taken."""
        settled = (WebhookEvent.State.APPLIED, WebhookEvent.State.NOTED, WebhookEvent.State.IGNORED)
        untold = StatusChange.objects.filter(event=models.OuterRef("pk"), notified_at__isnull=True, applied=True)
        old = self.filter(received_at__lt=received_before, state__in=settled)
        return old.exclude(models.Exists(untold))

    def parked_for(self, delivery: Delivery) -> Self:
        """Those that waited for this delivery, in the order of Kaspi's clock."""
        return self.filter(
            state=WebhookEvent.State.PARKED,
            account=delivery.account,
            environment=delivery.environment,
            external_order_id=delivery.external_order_id,
            kaspi_delivery_id=delivery.delivery_id,
        ).order_by("occurred_at", "pk")


class WebhookEvent(models.Model):
    """One webhook, as received: the inbox. `body` is text, because jsonb reorders keys."""

    class State(models.TextChoices):
        APPLIED = "applied", _("applied")
        NOTED = "noted", _("noted: nothing to change")
        PARKED = "parked", _("parked: no delivery yet")
        IGNORED = "ignored", _("ignored: not about a delivery of ours")
        CONFLICT = "conflict", _("conflict")
        FAILED = "failed", _("failed")

    account = ExactCharField(_("account"), max_length=40)
    environment = ExactCharField(_("environment"), max_length=16)
    event_id = ExactCharField(_("event id"), max_length=128)
    type = ExactCharField(_("type"), max_length=64)
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    received_count = models.PositiveIntegerField(_("times received"), default=1)
    body = models.TextField(_("body"))
    kaspi_delivery_id = ExactCharField(_("delivery id"), max_length=128, default="", blank=True)
    external_order_id = ExactCharField(_("external order id"), max_length=128, default="", blank=True)
    occurred_at = models.DateTimeField(_("occurred at"), null=True)
    delivery = models.ForeignKey(
        Delivery, models.SET_NULL, null=True, related_name="events", verbose_name=_("delivery")
    )
    state = models.CharField(_("state"), max_length=16, choices=State.choices)
    error = models.TextField(_("reason"), default="", blank=True)
    received_at = models.DateTimeField(_("received at"))
    applied_at = models.DateTimeField(_("applied at"), null=True)

    objects = WebhookEventQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("webhook event")
        verbose_name_plural = _("webhook events")
        permissions = [("replay_event", _("Can replay webhook events"))]
        constraints = [
            models.UniqueConstraint(fields=["account", "environment", "event_id"], name="kaspi_delivery_event_id")
        ]
        indexes = [
            models.Index(fields=["state", "external_order_id"], name="kaspi_delivery_event_state"),
            models.Index(fields=["received_at"], name="kaspi_delivery_event_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class StatusChangeQuerySet(models.QuerySet["StatusChange"]):
    """Sentences about the history."""

    def unnotified(self, now: datetime) -> Self:
        """Applied changes that the shop's code has not taken, the longest due first."""
        untold = self.filter(notified_at__isnull=True, applied=True)
        return untold.filter(notify_after__lte=now).order_by("notify_after")


class StatusChange(models.Model):
    """One step of a delivery's history. Late news is kept with `applied=False`."""

    class Source(models.TextChoices):
        CREATE = "create", _("booking")
        WEBHOOK = "webhook", _("webhook")
        REFRESH = "refresh", _("refresh")
        CANCEL = "cancel", _("cancellation")
        ADMIN = "admin", _("staff")

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="history", verbose_name=_("delivery"))
    from_status = ExactCharField(_("from"), max_length=64, default="", blank=True)
    to_status = ExactCharField(_("to"), max_length=64)
    at = models.DateTimeField(_("at"))
    source = models.CharField(_("source"), max_length=16, choices=Source.choices)
    event = models.ForeignKey(WebhookEvent, models.SET_NULL, null=True, related_name="+", verbose_name=_("event"))
    note = models.TextField(_("note"), default="", blank=True)
    applied = models.BooleanField(_("applied"), default=True)
    notified_at = models.DateTimeField(_("notified at"), null=True)
    notify_after = models.DateTimeField(_("notify again after"))
    created_at = models.DateTimeField(_("created at"))

    objects = StatusChangeQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("status change")
        verbose_name_plural = _("status changes")
        ordering = ["at", "pk"]
        indexes = [models.Index(fields=["notified_at", "notify_after"], name="kaspi_delivery_unnotified")]

    def __str__(self) -> str:
        return f"{self.from_status or '—'} → {self.to_status}"


class AccountState(models.Model):
    """One account in one environment: its gate, and when a worker was last seen."""

    account = ExactCharField(_("account"), max_length=40)
    environment = ExactCharField(_("environment"), max_length=16)
    closed_until = models.DateTimeField(_("gate closed until"), null=True)
    closed_reason = models.CharField(_("gate closed because"), max_length=200, default="", blank=True)
    worker_seen_at = models.DateTimeField(_("worker last seen at"), null=True)

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("account state")
        verbose_name_plural = _("account states")
        constraints = [models.UniqueConstraint(fields=["account", "environment"], name="kaspi_delivery_account_state")]

    def __str__(self) -> str:
        return f"{self.account} ({self.environment})"
