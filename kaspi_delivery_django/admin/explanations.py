"""Explain in plain words why something waits, failed, or was not applied."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, FailedAttempt, WebhookEvent
from kaspi_delivery_django.services import errors

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
            "error": display.isolated(errors.translated(event.error))
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
    """Return how an attempt failed: the response's status, or that there was none."""
    return f"{attempt.http_status or gettext('no answer')}: {errors.translated(attempt.error)}"
