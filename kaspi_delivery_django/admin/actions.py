"""The actions of staff: permission, confirmation text, and the answer that is shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, outcomes
from kaspi_delivery_django.admin.forms import CancelForm, ConfirmForm, LinkForm, ReturnForm, TypedForm
from kaspi_delivery_django.admin.outcomes import Act, Action, Answer
from kaspi_delivery_django.models import AccountState, ApiCall, Attention, Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.services import bulk_actions, clock, inbox
from kaspi_delivery_django.services.deliveries import actions, booking, rules
from kaspi_delivery_django.services.deliveries.rules import PERMISSIONS
from kaspi_delivery_django.services.outbox import circuit_breaker
from kaspi_delivery_django.statuses import CANCELLED

State = WebhookEvent.State
Name = PendingAction.Name


def _cancel(delivery: Delivery, answers: Mapping[str, Any]) -> Answer:
    actions.cancel_delivery(delivery, reason=answers["reason"])
    delivery.refresh_from_db()
    if delivery.status == CANCELLED and not delivery.delivery_id:
        return Answer(
            messages.SUCCESS,
            gettext("cancelled without a request: it was not booked at Kaspi."),
            outcomes.CANCELLED_UNSENT,
        )
    if delivery.status == CANCELLED:
        return Answer(messages.SUCCESS, gettext("cancelled."), outcomes.CANCELLED)
    if delivery.delivery_id:
        return _progress_of_cancel(delivery)
    words = gettext("it will be cancelled as soon as its booking is resolved.")
    return Answer(messages.WARNING, words, outcomes.CANCEL_LATER)


def _progress_of_cancel(delivery: Delivery) -> Answer:
    """Return Kaspi's response to the cancel, and what happens next."""
    call = delivery.calls.filter(kind=ApiCall.Kind.CANCEL).latest("pk")
    if call.state in {ApiCall.State.REFUSED, ApiCall.State.STUCK}:
        is_conflict = call.state == ApiCall.State.REFUSED and call.http_status == HTTPStatus.CONFLICT
        return Answer(messages.ERROR, _cancel_refusal(call), outcomes.CANCEL_REFUSED if is_conflict else None)
    when = _next_try(call, delivery)
    if call.http_status:
        words = gettext("not cancelled yet: Kaspi answered %(answer)s. The next attempt is automatic (%(time)s).")
    elif call.error_message:
        words = gettext("not cancelled yet: Kaspi did not answer. The next attempt is automatic (%(time)s).")
    elif when:
        words = gettext("not cancelled yet: the request is sent automatically (%(time)s).")
    else:
        return Answer(messages.INFO, gettext("Kaspi is asked to cancel; the status follows."), outcomes.CANCEL_SENT)
    words %= {"answer": call.http_status, "time": when or gettext("soon")}
    return Answer(messages.WARNING, words, outcomes.CANCEL_DELAYED)


def _cancel_refusal(call: ApiCall) -> str:
    if call.reason == Attention.NOT_FOUND:
        return gettext(
            "not cancelled: Kaspi does not know the delivery (404). It stays on the list; look at Kaspi's console."
        )
    if call.state == ApiCall.State.STUCK:
        return gettext("it is not known whether Kaspi cancelled it. It stays on the list.")
    if call.http_status == HTTPStatus.CONFLICT:
        return gettext("Kaspi refused: it is already in transit, or has ended.")
    return gettext("not cancelled: Kaspi answered %(answer)s. It stays on the list.") % {"answer": call.http_status}


def _next_try(call: ApiCall, delivery: Delivery) -> str:
    """Return when a call is sent at the earliest; empty for now."""
    own = AccountState.objects.filter(account=delivery.account, environment=delivery.environment)
    closed_until = own.values_list("closed_until", flat=True).first()
    latest = max((at for at in (call.next_attempt_at, closed_until) if at is not None), default=None)
    return display.moment(latest) if latest is not None and latest > clock.now() else ""


def _retry(delivery: Delivery, _answers: Mapping[str, Any]) -> Answer:
    if actions.retry_delivery(delivery).pk is None:
        words = gettext("the shop's adapter answers, and does not want it: saving the order asks again.")
        return Answer(messages.INFO, words)
    return Answer(messages.INFO, gettext("pending requests are sent now."), outcomes.RETRIED)


def _link(delivery: Delivery, answers: Mapping[str, Any]) -> Answer:
    actions.link_delivery(delivery, answers["delivery_id"])
    delivery.refresh_from_db()
    if delivery.delivery_id:
        return Answer(messages.SUCCESS, gettext("linked to %(id)s.") % {"id": delivery.delivery_id})
    if delivery.attention == Attention.SECOND_PARCEL:
        return Answer(messages.ERROR, gettext("not linked: that id belongs to another delivery of yours."))
    refused = delivery.calls.filter(kind=ApiCall.Kind.LINK, state=ApiCall.State.REFUSED)
    if refused.exists():
        return Answer(messages.ERROR, gettext("Kaspi has no delivery with this id and this name."))
    return Answer(messages.INFO, gettext("Kaspi is asked whether the id is this delivery's; it is linked if it is."))


def _reissue(delivery: Delivery, answers: Mapping[str, Any]) -> Answer:
    confirmed = bool(answers.get("confirmed_absent"))
    successor = booking.reissue_delivery(delivery, confirmed_absent=confirmed)
    return Answer(messages.SUCCESS, gettext("rebooked as %(name)s.") % {"name": successor})


def _return(delivery: Delivery, answers: Mapping[str, Any]) -> Answer:
    return outcome_of_booking([booking.request_return(delivery, reason=answers["reason"])])


def _acknowledge(delivery: Delivery, answers: Mapping[str, Any]) -> Answer:
    left = actions.acknowledge_delivery(delivery, confirmed_absent=bool(answers.get("confirmed_absent")))
    if left.attention:
        reason = Attention(left.attention).label
        words = gettext("acknowledged; it waits for another reason as well: %(reason)s.") % {"reason": reason}
        return Answer(messages.WARNING, words)
    return Answer(messages.SUCCESS, gettext("taken off the list."), outcomes.CLOSED)


def _replay(event: WebhookEvent, _answers: Mapping[str, Any]) -> Answer:
    state = inbox.replay_event(event)
    words = f"{State(state).label}."
    if state == State.FAILED:
        return Answer(messages.ERROR, words, outcomes.REPLAY_FAILED)
    return Answer(messages.WARNING if state in {State.PARKED, State.CONFLICT} else messages.SUCCESS, words)


def outcome_of_booking(booked: Sequence[Delivery], refused: Sequence[str] = ()) -> Answer:
    """Return what became of an order's bookings: those that are booked or sent soon, then those that are not."""
    for delivery in booked:
        delivery.refresh_from_db()
    problems = [*(display.attention_label(delivery.attention) for delivery in booked if delivery.attention), *refused]
    good = [delivery for delivery in booked if not delivery.attention]
    if all(delivery.delivery_id for delivery in good):
        words, several = gettext("a courier is booked: %(names)s."), outcomes.BOOKED
    else:
        words, several = gettext("the booking is on its way to Kaspi: %(names)s."), outcomes.SENT_LATER
    done = [words % {"names": ", ".join(map(str, good))}] if good else []
    if problems:
        return Answer(messages.WARNING if good else messages.ERROR, " ".join([*done, *problems]))
    return Answer(messages.SUCCESS, done[0], several, amount=len(good))


def _hold(state: AccountState, _answers: Mapping[str, Any]) -> Answer:
    circuit_breaker.hold_sending(by=getattr(state, "asked_by", ""))
    return Answer(messages.SUCCESS, gettext("all sending is held."))


def _after(service: Callable[..., object], level: int, words: Promise, several: Any = None, **options: Any) -> Act:
    """Return an `act` that calls the service, and answers with these words."""

    def act(row: Any, _answers: Mapping[str, Any]) -> Answer:
        service(row, **options)
        return Answer(level, str(words), several)

    return act


def _taken_off(service: Callable[..., object]) -> Act:
    return _after(service, messages.SUCCESS, _("taken off the list."), outcomes.CLOSED)


ACTIONS: Mapping[str, Action] = {
    "cancel": Action(
        permission=PERMISSIONS["cancel"],
        label=_("Cancel delivery"),
        question=_("Kaspi will be asked to cancel. A parcel that was picked up can no longer be cancelled."),
        act=_cancel,
        form=CancelForm,
        bulk_name=Name.CANCEL,
        is_dangerous=True,
    ),
    "refresh": Action(
        permission=PERMISSIONS["refresh"],
        label=_("Ask Kaspi now"),
        question=_("Kaspi will be asked for the delivery's status. Its answer is taken as it is."),
        act=_after(
            actions.refresh_delivery, messages.INFO, _("Kaspi is asked; its answer follows."), outcomes.REFRESHED
        ),
        bulk_name=Name.REFRESH,
    ),
    "retry": Action(
        permission=PERMISSIONS["retry"],
        label=_("Retry now"),
        question=_(
            "Pending calls are sent now, with the same key and the same bytes as before: nothing is booked twice."
        ),
        act=_retry,
        bulk_name=Name.RETRY,
    ),
    "send": Action(
        permission=PERMISSIONS["send"],
        label=_("Send it"),
        question=_(
            "The shop's adapter says that the order is not to be shipped. It is sent all the same: a courier comes. An"
            " order that the adapter wants cancelled is not sent."
        ),
        act=_after(
            actions.retry_delivery,
            messages.INFO,
            _("it is sent now, unless the shop's adapter wants it cancelled."),
            send_anyway=True,
        ),
    ),
    "send_early": Action(
        permission=PERMISSIONS["send_early"],
        label=_("Send now"),
        question=_("The shop wants it to be booked later. It is booked at once: a courier comes."),
        act=_after(
            actions.retry_delivery,
            messages.INFO,
            _("it is sent now, if the shop's adapter still wants it."),
            send_early=True,
        ),
    ),
    "reissue": Action(
        permission=PERMISSIONS["reissue"],
        label=_("Rebook"),
        question=_("The order's next delivery is booked: another courier comes, and it costs another delivery."),
        act=_reissue,
        form=TypedForm,
        is_dangerous=True,
    ),
    "link": Action(
        permission=PERMISSIONS["link"],
        label=_("Link Kaspi's delivery"),
        question=_(
            "Name the delivery that Kaspi has for this order. Kaspi is asked first, and must confirm the order's"
            " name. A link never changes."
        ),
        act=_link,
        form=LinkForm,
    ),
    "return": Action(
        permission=PERMISSIONS["return"],
        label=_("Book a return"),
        question=_(
            "A courier fetches the parcel from the customer and brings it back to the shop: it costs another delivery."
        ),
        act=_return,
        form=ReturnForm,
        bulk_name=Name.RETURN,
    ),
    "acknowledge": Action(
        permission=PERMISSIONS["acknowledge"],
        label=_("Acknowledge"),
        question=_("You have dealt with it: it leaves the list. If it was not booked, it never will be."),
        act=_acknowledge,
    ),
    "mark_final": Action(
        permission=PERMISSIONS["mark_final"],
        label=_("Mark as final"),
        question=_(
            "Nothing more is to come for this delivery: Kaspi is no longer asked about it, and its personal data is"
            " removed in time. Should Kaspi send another status, it is live again."
        ),
        act=_after(actions.mark_final, messages.SUCCESS, _("marked as final: Kaspi is no longer asked about it.")),
    ),
}

ABANDON_WARNING = Action(
    permission=PERMISSIONS["reissue"],
    label=ACTIONS["acknowledge"].label,
    question=_(
        "Kaspi may have booked this delivery. Acknowledge it only after looking there: from then on nothing is asked"
        " of Kaspi about it, and it will not be booked."
    ),
    act=_acknowledge,
    form=TypedForm,
    is_dangerous=True,
)

ABANDON_CANCEL_WARNING = replace(
    ACTIONS["acknowledge"],
    permission=PERMISSIONS["cancel"],
    question=_("A cancel was requested: it is abandoned, and the delivery leaves the list."),
    is_dangerous=True,
)

UNBOOKED: Mapping[str, Action] = {
    "cancel": replace(ACTIONS["cancel"], question=_("Kaspi has no parcel for it: nothing will be booked.")),
    "reissue": replace(
        ACTIONS["reissue"],
        question=_("Nothing is booked so far: the order is booked under its next number."),
        form=ConfirmForm,
        is_dangerous=False,
    ),
}

FIRST_TRY = replace(
    ACTIONS["retry"],
    question=_("Nothing was sent so far: the order is read as it is now, and sent for the first time."),
)

REPLAY = Action(
    permission="replay_event",
    label=_("Replay"),
    question=_("The event is applied as if it came now. Its signature was verified when it came."),
    act=_replay,
    bulk_name=Name.REPLAY,
)

ACKNOWLEDGE_EVENT = Action(
    permission="replay_event",
    label=ACTIONS["acknowledge"].label,
    question=_("You have dealt with the event: it leaves the dead letters and no longer takes effect."),
    act=_taken_off(inbox.acknowledge_event),
    bulk_name=Name.ACKNOWLEDGE,
)

DISMISS = Action(
    permission="retry_delivery",
    label=_("Take off the list"),
    question=_("The action is removed: a refused one stays undone, a pending one will not be run."),
    act=_taken_off(bulk_actions.dismiss),
)

HOLD = Action(
    permission="hold_sending",
    label=_("Hold all sending"),
    question=_("No request is sent to Kaspi for any account, by any runner, until sending is released."),
    act=_hold,
    is_dangerous=True,
)

RELEASE = Action(
    permission="hold_sending",
    label=_("Release sending"),
    question=_("Requests that became due meanwhile are sent, unless they are too old."),
    act=_after(lambda _state: circuit_breaker.release_sending(), messages.SUCCESS, _("sending is released.")),
)


def actions_for(delivery: Delivery) -> Mapping[str, Action]:
    """Return what can be done about a delivery at all, with what it means for this one.

    Abandoning a delivery that may be booked needs the permission and the confirmation of rebooking.
    """
    own = dict(ACTIONS)
    if rules.may_be_booked(delivery):
        own["acknowledge"] = ABANDON_WARNING
    elif rules.ends_cancel(delivery):
        own["acknowledge"] = ABANDON_CANCEL_WARNING
    if rules.is_unbooked(delivery):
        own |= UNBOOKED
    if rules.is_unread(delivery):
        own["retry"] = FIRST_TRY
    own["reissue"] = replace(own["reissue"], permission=rules.permission_for("reissue", delivery))
    return own
