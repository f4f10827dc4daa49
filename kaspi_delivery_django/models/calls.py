"""The outbox: calls and failed attempts, bulk actions that are pending, and the state of each account."""

from typing import TYPE_CHECKING, ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.models.deliveries import Attention, Delivery
from kaspi_delivery_django.models.events import WebhookEvent
from kaspi_delivery_django.models.fields import ExactCharField, WrittenModel, WrittenQuerySet

if TYPE_CHECKING:
    from datetime import datetime
REQUEST_ID_LENGTH = 128


class ApiCallQuerySet(WrittenQuerySet["ApiCall"]):
    """Sentences about calls."""

    def due(self, now: "datetime | models.Expression") -> Self:
        """Those that somebody must look at now; a claim whose lease has ended is one of them."""
        return self.filter(next_attempt_at__lte=now).order_by("next_attempt_at")

    def of_kind(self, kind: str) -> Self:
        """Those of one kind: create, cancel, refresh or link."""
        return self.filter(kind=kind)


class ApiCall(WrittenModel):
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
    request_id = models.CharField(
        _("last request id"), max_length=REQUEST_ID_LENGTH, default="", db_default="", blank=True
    )
    reason = models.CharField(_("waits because"), max_length=40, choices=Attention.choices, default="", blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects: ClassVar = ApiCallQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("call")
        verbose_name_plural = _("calls")
        constraints = [
            models.UniqueConstraint(fields=["idempotency_key", "delivery"], name="kaspi_delivery_call_by_key")
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="kaspi_delivery_call_due"),
            models.Index(fields=["state", "updated_at"], name="kaspi_delivery_call_by_state"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.idempotency_key}"


class FailedAttemptQuerySet(WrittenQuerySet["FailedAttempt"]):
    """Tries that failed."""


class FailedAttempt(WrittenModel):
    """One try of a call that did not bring what it asked for. `http_status` is NULL when nobody answered."""

    call = models.ForeignKey(ApiCall, models.CASCADE, related_name="failed_attempts", verbose_name=_("call"))
    kind = models.CharField(_("kind"), max_length=16, choices=ApiCall.Kind.choices)
    at = models.DateTimeField(_("at"))
    http_status = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    error = models.CharField(_("error"), max_length=200, default="", blank=True)
    error_message = models.TextField(_("error message"), default="", blank=True)
    request_id = models.CharField(_("request id"), max_length=REQUEST_ID_LENGTH, default="", db_default="", blank=True)

    objects: ClassVar = FailedAttemptQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("failed attempt")
        verbose_name_plural = _("failed attempts")
        indexes = [models.Index(fields=["at"], name="kaspi_delivery_attempt_age")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.http_status or self.error}"


class AccountState(WrittenModel):
    """One account in one environment: its gate, its hold, Kaspi's announcement, when a healthy worker was last seen.

    While one row has `held_at`, nothing is sent for any account. `worker_trouble` names the chores that failed when
    the worker last tried them; such a worker does not count as seen. `announcement` comes from Kaspi's headers.
    """

    account = ExactCharField(_("account"), max_length=40)
    environment = ExactCharField(_("environment"), max_length=16)
    closed_until = models.DateTimeField(_("gate closed until"), null=True)
    closed_reason = models.CharField(_("gate closed because"), max_length=200, default="", blank=True)
    announcement = models.CharField(_("Kaspi announces"), max_length=500, default="", db_default="", blank=True)
    announced_at = models.DateTimeField(_("announced at"), null=True)
    worker_seen_at = models.DateTimeField(_("worker last seen at"), null=True)
    cancels_asked_at = models.DateTimeField(_("adapters last asked about cancels at"), null=True)
    worker_trouble = models.CharField(_("the worker fails at"), max_length=400, default="", db_default="", blank=True)
    held_at = models.DateTimeField(_("sending held since"), null=True)
    held_by = models.CharField(_("held by"), max_length=150, default="", db_default="", blank=True)

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("account state")
        verbose_name_plural = _("account states")
        permissions = [("hold_sending", _("Can hold and release all requests to Kaspi"))]
        constraints = [models.UniqueConstraint(fields=["account", "environment"], name="kaspi_delivery_account_state")]

    def __str__(self) -> str:
        return f"{self.account} ({self.environment})"


class PendingActionQuerySet(WrittenQuerySet["PendingAction"]):
    """Sentences about what staff asked for."""

    def waiting(self) -> Self:
        """Those that the worker has still to do, the oldest first; what was deferred lets the others pass."""
        return self.filter(failed_at__isnull=True).order_by(models.F("deferred_at").asc(nulls_first=True), "pk")


class PendingAction(WrittenModel):
    """One row of a bulk action that one request could not finish: the worker does it, and deletes it.

    What it was refused stays, with the reason, until a member of staff takes it off.
    """

    class Name(models.TextChoices):
        CANCEL = "cancel", _("cancel")
        RETRY = "retry", _("retry")
        REFRESH = "refresh", _("ask Kaspi")
        REPLAY = "replay", _("replay")
        ACKNOWLEDGE = "acknowledge", _("acknowledge")

    name = models.CharField(_("action"), max_length=16, choices=Name.choices)
    delivery = models.ForeignKey(Delivery, models.CASCADE, null=True, related_name="+", verbose_name=_("delivery"))
    event = models.ForeignKey(WebhookEvent, models.CASCADE, null=True, related_name="+", verbose_name=_("event"))
    reason = models.TextField(_("reason given"), default="", blank=True)
    asked_by = models.CharField(_("asked by"), max_length=254, default="", blank=True)
    created_at = models.DateTimeField(_("asked at"))
    deferred_at = models.DateTimeField(_("deferred at"), null=True)
    failed_at = models.DateTimeField(_("refused at"), null=True)
    failure = models.TextField(_("refused because"), default="", blank=True)

    objects: ClassVar = PendingActionQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("action handed to the worker")
        verbose_name_plural = _("actions handed to the worker")
        indexes = [models.Index(fields=["failed_at"], name="kaspi_delivery_action_waiting")]

    def __str__(self) -> str:
        return f"{self.get_name_display()} {self.delivery_id or self.event_id}"
