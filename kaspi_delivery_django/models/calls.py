"""The outbox: calls, failed attempts, pending bulk actions, the state of each account; reasons for manual review."""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.models.fields import ExactCharField, WrittenModel, WrittenQuerySet

REQUEST_ID_LENGTH = 128
REPLAY_WINDOW = timedelta(hours=23)  # Kaspi keeps idempotency keys for 24 h
LOST_AFTER = timedelta(minutes=5)
FORGOTTEN_AFTER = timedelta(days=2)  # it is noted once a day while Kaspi announces it
MAX_FAILURES = 3  # consecutive failures of one kind, after which staff decide


def digest(payload: str) -> str:
    """Return the SHA-256 of a payload, in hex."""
    return sha256(payload.encode()).hexdigest()


def without_lease(state: str, now: datetime, next_attempt_at: datetime | models.F | None) -> dict[str, Any]:
    """Return the columns of a call in a state in which no sender holds it."""
    return {"state": state, "claim_token": "", "next_attempt_at": next_attempt_at, "updated_at": now}


def finished(state: str, now: datetime) -> dict[str, Any]:
    """Return the columns of a call that no longer needs a request."""
    return {**without_lease(state, now, None), "unknown_since": None, "reason": ""}


class Attention(models.TextChoices):
    """Why a delivery, or one of its calls, needs manual review."""

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
    UNKNOWN_STATUS = "unknown_status", _("Its status is unknown to this version and does not change")


class ApiCallQuerySet(WrittenQuerySet["ApiCall"]):
    """Queries about calls."""

    def due(self, now: datetime | models.Expression) -> Self:
        """Filter calls that are due now, also those whose lease has expired."""
        return self.filter(next_attempt_at__lte=now).order_by("next_attempt_at")

    def of(self, delivery: models.Model, kind: str) -> Self:
        """Filter a delivery's calls of one kind, the newest first."""
        return self.filter(delivery=delivery, kind=kind).order_by("-pk")

    def never_sent(self, delivery: models.Model) -> Self:
        """Filter the creates that Kaspi cannot have acted on and that no sender has claimed."""
        return self.of(delivery, ApiCall.Kind.CREATE).filter(state__in=ApiCall.IDLE, unknown_since__isnull=True)

    def end_lease(
        self, state: str, *, now: datetime, next_attempt_at: datetime | models.F | None = None, **columns: Any
    ) -> int:
        """Set these calls to a state in which no sender holds them. Return their number."""
        return self.update(**without_lease(state, now, next_attempt_at), **columns)

    def finish(self, state: str, now: datetime, **columns: Any) -> int:
        """End these calls, which no longer need a request. Return their number."""
        return self.update(**finished(state, now), **columns)


class ApiCall(WrittenModel):
    """One intended request to Kaspi: a row of the outbox.

    `next_attempt_at` is the next try of a due or unknown call, the end of the lease of a claimed one,
    and NULL for a finished one. `reason` is why a refused or stuck call needs manual review. The payload
    of a link is the delivery id that staff entered.
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
        STUCK = "stuck", _("needs manual review")
        ABANDONED = "abandoned", _("abandoned")

    ACTING: ClassVar = (Kind.CREATE, Kind.CANCEL)
    UNRESOLVED: ClassVar = (State.DUE, State.SENDING, State.UNKNOWN)
    UNFINISHED: ClassVar = (*UNRESOLVED, State.STUCK)
    STOPPED: ClassVar = (State.STUCK, State.REFUSED)
    IDLE: ClassVar = (State.DUE, *STOPPED)

    delivery = models.ForeignKey(
        "kaspi_delivery.Delivery", models.CASCADE, related_name="calls", verbose_name=_("delivery")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    idempotency_key = ExactCharField(_("idempotency key"), max_length=160)
    payload = models.TextField(_("payload"), default="", blank=True)
    payload_sha256 = models.CharField(_("payload's SHA-256"), max_length=64, default="", blank=True)
    api_key_fingerprint = models.CharField(_("API key's fingerprint"), max_length=16, default="", blank=True)
    base_url = models.CharField(_("sent to"), max_length=200, default="", blank=True)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.DUE)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    strikes = models.PositiveSmallIntegerField(_("consecutive failures"), default=0)
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

    @property
    def is_changed(self) -> bool:
        """Whether the stored payload differs from the one that was written for the idempotency key."""
        return bool(self.payload_sha256) and digest(self.payload) != self.payload_sha256

    @property
    def is_never_sent(self) -> bool:
        """Whether Kaspi cannot have acted on it, and no sender has claimed it."""
        return self.state in self.IDLE and self.unknown_since is None

    def is_key_expired(self, now: datetime) -> bool:
        """Return whether Kaspi may have forgotten the idempotency key of an attempt of unknown outcome."""
        return self.unknown_since is not None and now >= self.unknown_since + REPLAY_WINDOW


class FailedAttemptQuerySet(WrittenQuerySet["FailedAttempt"]):
    """Queries about failed attempts."""


class FailedAttempt(WrittenModel):
    """One attempt that failed. `http_status` is NULL when Kaspi did not answer."""

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
    """One account in one environment: circuit breaker, hold, Kaspi's announcement, and the worker's last report.

    While one row has `held_at`, nothing is sent for any account. `worker_trouble` names the tasks that failed in the
    worker's last round; a worker with such a task does not count as seen. `announcement` comes from Kaspi's headers.
    The circuit breaker is open while `closed_until` is set: no request is sent until then, and one trial call after it.
    """

    account = ExactCharField(_("account"), max_length=40)
    environment = ExactCharField(_("environment"), max_length=16)
    closed_until = models.DateTimeField(_("requests paused until"), null=True)
    closed_reason = models.CharField(_("requests paused because"), max_length=200, default="", blank=True)
    announcement = models.CharField(_("Kaspi announces"), max_length=500, default="", db_default="", blank=True)
    announced_at = models.DateTimeField(_("announced at"), null=True)
    worker_seen_at = models.DateTimeField(_("worker last seen at"), null=True)
    cancels_asked_at = models.DateTimeField(_("cancels last checked at"), null=True)
    worker_trouble = models.CharField(_("failing worker tasks"), max_length=400, default="", db_default="", blank=True)
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

    @property
    def is_paused(self) -> bool:
        """Whether the circuit breaker is open, or half-open: no call is sent, or one as a trial."""
        return self.closed_until is not None

    def announced(self, now: datetime) -> str:
        """Return what Kaspi announces of its API, as of a sunset; empty when it has not done so for two days."""
        is_fresh = self.announced_at is not None and now - self.announced_at < FORGOTTEN_AFTER
        return self.announcement if is_fresh else ""

    def is_without_worker(self, now: datetime) -> bool:
        """Return whether no worker was seen lately."""
        age = self.worker_age(now)
        return age is None or age > LOST_AFTER

    def worker_age(self, now: datetime) -> timedelta | None:
        """Return since when no worker was seen; None when none ever was."""
        return max(now - self.worker_seen_at, timedelta(0)) if self.worker_seen_at else None


class PendingActionQuerySet(WrittenQuerySet["PendingAction"]):
    """Queries about pending bulk actions."""

    def waiting(self) -> Self:
        """Filter actions that the worker has not run yet: first those that were never deferred, the oldest first."""
        return self.filter(failed_at__isnull=True).order_by(models.F("deferred_at").asc(nulls_first=True), "pk")


class PendingAction(WrittenModel):
    """One row of a bulk action that one request could not finish: the worker runs it, and deletes it.

    A refused one is kept, with the reason, until staff dismiss it.
    """

    class Name(models.TextChoices):
        CANCEL = "cancel", _("cancel")
        RETRY = "retry", _("retry")
        REFRESH = "refresh", _("refresh")
        RETURN = "return", _("book a return")
        REPLAY = "replay", _("replay")
        ACKNOWLEDGE = "acknowledge", _("acknowledge")

    name = models.CharField(_("action"), max_length=16, choices=Name.choices)
    delivery = models.ForeignKey(
        "kaspi_delivery.Delivery", models.CASCADE, null=True, related_name="+", verbose_name=_("delivery")
    )
    event = models.ForeignKey(
        "kaspi_delivery.WebhookEvent", models.CASCADE, null=True, related_name="+", verbose_name=_("event")
    )
    reason = models.TextField(_("reason given"), default="", blank=True)
    asked_by = models.CharField(_("requested by"), max_length=254, default="", blank=True)
    created_at = models.DateTimeField(_("requested at"))
    deferred_at = models.DateTimeField(_("deferred at"), null=True)
    failed_at = models.DateTimeField(_("refused at"), null=True)
    failure = models.TextField(_("refused because"), default="", blank=True)

    objects: ClassVar = PendingActionQuerySet.as_manager()

    class Meta:
        app_label = "kaspi_delivery"
        verbose_name = _("pending bulk action")
        verbose_name_plural = _("pending bulk actions")
        indexes = [models.Index(fields=["failed_at"], name="kaspi_delivery_action_waiting")]

    def __str__(self) -> str:
        return str(self.get_name_display())
