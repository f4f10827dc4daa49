"""Explain in plain words why something waits, failed, or was not applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display
from kaspi_delivery_django.formats import isolated
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, FailedAttempt, WebhookEvent
from kaspi_delivery_django.services import clock, errors
from kaspi_delivery_django.services.deliveries import payloads, rules

Kind = ApiCall.Kind
_SETTINGS = _("Kaspi does not accept our API key or address")
_SUNSET = _("Kaspi no longer serves this version of its API: upgrade kaspi-delivery-django")
_FAULT = _("Something is wrong at Kaspi")
_ADVICE: Mapping[str, Promise] = {
    Attention.ADAPTER_FAILED: _("Correct the order's data (its call shows what is wrong), then retry."),
    Attention.REFUSED: _("Correct what Kaspi names in the call's error, then rebook it."),
    Attention.OUTCOME_UNKNOWN: _("Look it up in Kaspi's console: link what is there, rebook the rest."),
    Attention.KEY_REUSED: _("Look it up in Kaspi's console: link what is there, rebook the rest."),
    Attention.PAYLOAD_CHANGED: _("Look it up in Kaspi's console: cancel again, link what is there, rebook the rest."),
    Attention.DATA_ERROR: _("Have the database's character set or column corrected (its call shows why), then retry."),
    Attention.FOREIGN_DELIVERY: _("Look both orders up in Kaspi's console, then link, rebook or acknowledge."),
    Attention.SECOND_PARCEL: _("Cancel the extra delivery in Kaspi's console, then acknowledge."),
    Attention.CONTRADICTION: _("Wait: Kaspi's next answer decides."),
    Attention.TOO_OLD: _("Retry if it is still to be shipped, cancel if not."),
    Attention.CONFIGURATION_CHANGED: _("Have the former key and address put back, then retry."),
    Attention.ORDER_EDITED: _("Inform the courier and acknowledge, or cancel."),
    Attention.CANCEL_REFUSED: _("Talk to the customer, then acknowledge."),
    Attention.CANCEL_UNKNOWN: _("Wait: Kaspi is being asked. Or cancel again."),
    Attention.NOT_WANTED: _("Send it if it is to be shipped, cancel it if not; or correct the order and save it."),
    Attention.UNKNOWN_STATUS: _(
        "Look it up in Kaspi's console: mark it as final if nothing more is to come, else acknowledge."
    ),
    Attention.NOT_FOUND: _("Look it up in Kaspi's console; ask Kaspi now, or acknowledge."),
}

_ANSWERS: Mapping[int, Promise] = {
    HTTPStatus.UNAUTHORIZED: _SETTINGS,
    HTTPStatus.FORBIDDEN: _SETTINGS,
    HTTPStatus.METHOD_NOT_ALLOWED: _SETTINGS,
    HTTPStatus.GONE: _SUNSET,
    HTTPStatus.UPGRADE_REQUIRED: _SUNSET,
    HTTPStatus.NOT_FOUND: Attention.NOT_FOUND.label,
    HTTPStatus.CONFLICT: _("Kaspi has another request with this key, or has not finished it"),
    HTTPStatus.TOO_MANY_REQUESTS: _("Kaspi asks to wait: there were too many requests"),
    HTTPStatus.REQUEST_TIMEOUT: _FAULT,
    HTTPStatus.TOO_EARLY: _FAULT,
}
_ANSWERS_TO: Mapping[tuple[str, int], Promise] = {
    (Kind.CREATE, HTTPStatus.NOT_FOUND): _SETTINGS,
    (Kind.CANCEL, HTTPStatus.CONFLICT): _("It is already in transit, or has ended"),
}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a call failed. `attempt` is the last failed one, None once it is pruned."""

    call: ApiCall
    attempt: FailedAttempt | None

    @property
    def meaning(self) -> str:
        """What the answer means, or that there was none."""
        return explain_error(self.call)

    @property
    def words(self) -> str:
        """The message of Kaspi, or of the shop's adapter: it may hold personal data."""
        if self.attempt is None or _is_ours(self.call):
            return errors.translated(self.call.error_message)
        return self.attempt.error_message

    @property
    def source(self) -> str:
        at = self.attempt.at if self.attempt else self.call.updated_at
        return f"{self.call.get_kind_display()}, {display.moment(at)}"

    @property
    def request_id(self) -> str:
        return display.copied(self.call.request_id, self.call.request_id)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with a delivery, and what to do. It is `urgent` if it needs staff.

    `edits` has a label, the booked value and the order's value for each edited field; both may be personal data.
    """

    title: str
    advice: str
    is_urgent: bool
    failure: Failure | None = None
    edits: Sequence[tuple[str, object, object]] = ()


def explain_problem(delivery: Delivery) -> Problem | None:
    """Return what is wrong with a delivery: the reason of its flag, else a call that fails and is tried again."""
    calls = reversed(rules.calls_of(delivery))
    failed = [call for call in calls if call.http_status or call.error_code or call.error_message]
    stopped = [call for call in failed if delivery.attention and delivery.attention in {call.reason, call.error_code}]
    retried = [call for call in failed if call.state in ApiCall.UNRESOLVED]
    call = next(iter([*stopped, *retried]), None)
    attempt = FailedAttempt.objects.filter(call=call).order_by("-pk").first() if call else None
    failure = Failure(call=call, attempt=attempt) if call else None
    if delivery.attention:
        title = display.attention_label(delivery.attention)
        advice, edits = explain_attention(delivery), _edits(delivery)
        return Problem(title=title, advice=advice, is_urgent=True, failure=failure, edits=edits)
    if call is None:
        return None
    needs_staff = _meaning(call.kind, call.http_status) in (_SETTINGS, _SUNSET)
    advice = gettext("Have this corrected. Until then the account's requests wait.") if needs_staff else _retry(call)
    return Problem(title=gettext("A request to Kaspi fails"), advice=advice, is_urgent=needs_staff, failure=failure)


def _edits(delivery: Delivery) -> list[tuple[str, object, object]]:
    if delivery.attention != Attention.ORDER_EDITED:
        return []
    labels = {field.name: str(field.verbose_name) for field in Delivery._meta.fields}
    return [(labels[name], getattr(delivery, name), value) for name, value in payloads.edited(delivery).items()]


def explain_error(call: ApiCall) -> str:
    """Return what a call failed with; empty if its last attempt did not fail."""
    if _is_ours(call):
        return display.attention_label(call.reason or call.error_code)
    if call.http_status:
        return explain_answer(call.kind, call.http_status)
    return explain_answer(call.kind, None) if call.error_message else ""


def _is_ours(call: ApiCall) -> bool:
    """Return whether the call's error is no answer of Kaspi's."""
    is_second = call.error_code == Attention.SECOND_PARCEL
    return is_second or call.reason in {Attention.ADAPTER_FAILED, Attention.DATA_ERROR}


def explain_answer(kind: str, http_status: int | None) -> str:
    """Return what an HTTP status means that failed a call of this kind; None is no answer."""
    return str(_meaning(kind, http_status))


def _meaning(kind: str, http_status: int | None) -> Promise:
    if http_status is None:
        return _("Kaspi did not answer")
    if http_status < HTTPStatus.MULTIPLE_CHOICES:
        return _("Kaspi's answer cannot be used")
    if http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _FAULT
    others = _SETTINGS if http_status < HTTPStatus.BAD_REQUEST else _("Kaspi does not accept the data of the request")
    return _ANSWERS_TO.get((kind, http_status)) or _ANSWERS.get(http_status, others)


def _retry(call: ApiCall) -> str:
    at = call.next_attempt_at
    when = display.moment(at) if at is not None and at > clock.now() else gettext("soon")
    return gettext("Nothing: the next attempt is automatic (%(time)s).") % {"time": when}


def explain_attention(delivery: Delivery) -> str:
    """Return what to do about a delivery that needs attention; empty for others."""
    if delivery.attention == Attention.KEY_REUSED and delivery.environment != "production":
        return gettext(
            "A new database counts its orders from 1 again, and the sandbox still knows their names: restart the"
            " bundled sandbox, or give external_order_id another prefix. Otherwise link what is there, or rebook."
        )
    return str(_ADVICE.get(delivery.attention, ""))


def explain_event(event: WebhookEvent) -> str:
    """Explain why an event was not applied; the technical error is added."""
    reason = WebhookEvent.Reason
    known = {
        reason.FOREIGN: gettext("It is about another order than its delivery: check both."),
        reason.SECOND_PARCEL: gettext(
            "It is about another delivery than the one booked: a second parcel may be on its way."
        ),
        reason.OTHER_DATA: gettext("It came twice with different contents: ask Kaspi about the delivery."),
        reason.NO_DELIVERY: gettext("No delivery has this id yet: the event is applied when one appears."),
        reason.TEST: gettext("A test event."),
        reason.LOCKED: gettext("Its delivery was locked by another transaction: the worker applies it."),
        reason.EXPECTED_TEST: gettext("A test event that Kaspi was asked for: it has not come yet."),
        reason.UNKNOWN_TYPE: gettext("An event type that this version does not know."),
    }
    if event.state == WebhookEvent.State.FAILED:
        return gettext("It could not be applied: %(error)s. Fix that, then replay it.") % {
            "error": isolated(errors.translated(event.error))
        }
    return known.get(event.error, event.error) or "—"


def explain_waiting(call: ApiCall) -> str:
    """Return when a call is sent next, or why it needs attention."""
    if call.reason:
        return display.attention_label(call.reason)
    if call.next_attempt_at is None:
        return ""
    when = display.moment(call.next_attempt_at)
    if call.state == ApiCall.State.SENDING:
        return gettext("its answer, until %(time)s") % {"time": when}
    return gettext("its next try, %(time)s") % {"time": when}


def explain_failure(attempt: FailedAttempt) -> str:
    """Return how an attempt failed: the response's status, or why there was none."""
    meaning = explain_answer(attempt.kind, attempt.http_status)
    if attempt.http_status:
        return f"{attempt.http_status}: {meaning}"
    return f"{meaning}: {errors.translated(attempt.error)}"
