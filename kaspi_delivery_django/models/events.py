"""The inbox: webhook events as received, and the history of status changes."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.models.fields import ExactCharField, WrittenModel, WrittenQuerySet
from kaspi_delivery_django.statuses import status_label


class WebhookEventQuerySet(WrittenQuerySet["WebhookEvent"]):
    """Queries about events."""

    def parked(self) -> Self:
        """Filter parked events: by a range, because SQLite takes each state as equally frequent."""
        return self.filter(state__range=(WebhookEvent.State.PARKED, WebhookEvent.State.PARKED))


class WebhookEvent(WrittenModel):
    """One webhook as received: a row of the inbox.

    `body` is text, because jsonb reorders keys. It is ASCII with escapes, so that any character set can store it.
    """

    class State(models.TextChoices):
        APPLIED = "applied", _("applied")
        NOTED = "noted", _("noted: nothing to change")
        PARKED = "parked", _("parked: no delivery yet")
        IGNORED = "ignored", _("ignored: not about a delivery of ours")
        CONFLICT = "conflict", _("conflict")
        FAILED = "failed", _("failed")
        ACKNOWLEDGED = "acknowledged", _("acknowledged by staff")

    class Reason:
        """Texts of `error`: why an event was not applied, or what was odd about it."""

        UNKNOWN_TYPE = "an event type we do not know"
        NO_STATUS = "data has no status"
        UNUSABLE_TIME = "the timestamp cannot be true: the time of arrival was used"
        FOREIGN = "the delivery belongs to another order"
        SECOND_PARCEL = "a second parcel for a known order?"
        NO_DELIVERY = "no delivery of ours"
        LOCKED = "the delivery was locked by another transaction: the worker applies the event"
        OTHER_DATA = "the same event id came with other data"
        TEST = "a test event"
        EXPECTED_TEST = "a test event that Kaspi was asked for and that has not come"

    DEAD_LETTERS: ClassVar = (State.PARKED, State.CONFLICT, State.FAILED)

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
        "kaspi_delivery.Delivery", models.SET_NULL, null=True, related_name="events", verbose_name=_("delivery")
    )
    state = models.CharField(_("state"), max_length=16, choices=State.choices)
    error = models.TextField(_("reason"), default="", blank=True)
    received_at = models.DateTimeField(_("received at"))
    applied_at = models.DateTimeField(_("applied at"), null=True)

    objects: ClassVar = WebhookEventQuerySet.as_manager()

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

    @property
    def is_dead_letter(self) -> bool:
        """Whether the event was not applied, and needs manual review."""
        return self.state in self.DEAD_LETTERS

    @property
    def is_replayable(self) -> bool:
        """Whether a replay can apply the event: not if it came with two contents, of which one is wrong."""
        return self.is_dead_letter and self.error != self.Reason.OTHER_DATA


class StatusChangeQuerySet(WrittenQuerySet["StatusChange"]):
    """Queries about the history."""

    def unnotified(self, now: datetime) -> Self:
        """Filter applied changes whose signals not every receiver has handled, the longest due first."""
        pending = self.filter(notified_at__isnull=True, applied=True, notify_after__lte=now)
        return pending.order_by("notify_after")


class StatusChange(WrittenModel):
    """One step of a delivery's history. A late or contradictory update is kept with `applied=False`."""

    class Source(models.TextChoices):
        CREATE = "create", _("booking")
        WEBHOOK = "webhook", _("webhook")
        REFRESH = "refresh", _("refresh")
        CANCEL = "cancel", _("cancellation")
        ADMIN = "admin", _("staff")

    delivery = models.ForeignKey(
        "kaspi_delivery.Delivery", models.CASCADE, related_name="history", verbose_name=_("delivery")
    )
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

    objects: ClassVar = StatusChangeQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("status change")
        verbose_name_plural = _("status changes")
        ordering = ["at", "pk"]
        indexes = [
            models.Index(fields=["notified_at", "notify_after"], name="kaspi_delivery_unnotified"),
            models.Index(fields=["created_at", "to_status", "applied"], name="kaspi_delivery_change_day"),
        ]

    def __str__(self) -> str:
        before = status_label(self.from_status) if self.from_status else "—"
        return f"{before} → {status_label(self.to_status)}"
