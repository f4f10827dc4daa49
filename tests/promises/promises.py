"""The promises, each a check of the rows, the network's notes and the log together.

Kaspi is the sandbox, which books again when an idempotency key has expired. A second delivery in
`FakeKaspi` is therefore a second delivery in reality.
"""

import json
from collections import Counter, defaultdict
from datetime import timedelta

from django.conf import settings

from kaspi_delivery_django.models import ApiCall, Attention, WebhookEvent
from kaspi_delivery_django.statuses import CANCELLED, RANKS, TERMINAL
from tests.promises.ledger import way_of
from tests.promises.shop import PRIVATE, Mood
from tests.promises.system import API_KEYS, SECRETS
from tests.shop.spellings import canonical, order_in

REPLAY_LIMIT = timedelta(hours=23)
CORRECTED = "Kaspi's own answer"
BROKEN = (
    "task failed",
    "call failed with an error",
    "order not followed",
    "not done after the commit",
    "answer not recorded",
)
CallState, EventState = ApiCall.State, WebhookEvent.State


def one_live_parcel(system, ledger):
    """1: one order's generation has one parcel; only a mistake of staff makes two live, and it is flagged."""
    booked = Counter(record.external_order_id for record in system.kaspi.deliveries.values())
    assert max(booked.values(), default=0) <= 1, f"booked twice: {booked.most_common(1)}"
    live = defaultdict(list)
    for record in system.kaspi.deliveries.values():
        delivery = ledger.named(record.external_order_id)
        if delivery is not None and record.status != CANCELLED and record.delivery_id not in system.fickle:
            live[way_of(delivery)].append(record)
    for (order, _returned), records in live.items():
        assert len(records) == 1 or order in system.wrongly_absent, f"order {order} has {len(records)} live parcels"
    _two_that_are_known_are_flagged(system, ledger)


def _two_that_are_known_are_flagged(system, ledger):
    known = defaultdict(list)
    for delivery in ledger.deliveries.values():
        if delivery.is_live:
            known[way_of(delivery)].append(delivery)
    for order, deliveries in known.items():
        flagged = [one for one in deliveries if one.attention == Attention.SECOND_PARCEL]
        seen = flagged or system.acknowledged & {one.pk for one in deliveries}
        assert len(deliveries) == 1 or seen, f"order {order} has two parcels, and neither is flagged"


def keys_carry_their_bytes(system, ledger):
    """2: every create and cancel has an idempotency key, and all bodies of one key are the same."""
    bodies = defaultdict(set)
    for seen in system.witness.seen:
        if seen.method == "POST":
            assert seen.key, f"{seen} has no key"
            bodies[seen.path if seen.key is None else seen.key].add((seen.path, seen.body))
    for key, different in bodies.items():
        assert len(different) == 1, f"the key {key} carried {len(different)} payloads"


def old_keys_are_left_alone(system, ledger):
    """3: after a create that may have booked, none follows 23 h later, or with another API key."""
    first = {}
    for seen in system.witness.seen:
        if not seen.is_create:
            continue
        doubt = first.get(seen.key)
        if doubt is not None:
            assert seen.at < doubt.at + REPLAY_LIMIT, f"{seen} follows {doubt}"
            assert seen.api_key == doubt.api_key, f"{seen} follows {doubt}"
        elif seen.may_have_booked:
            first[seen.key] = seen


def no_request_inside_a_transaction(system, ledger):
    """4: no request while a transaction is open, nor outside of a worker; none of a rolled-back order."""
    names = {f"order-{pk}" for pk in system.rolled_back}
    for seen in system.witness.seen:
        assert not seen.in_transaction, f"{seen} was sent inside a transaction"
        assert seen.by_worker or system.sends_inline, f"{seen} was not sent by a worker"
        assert seen.key not in names, f"{seen} is about an order that was rolled back"
    kept = names & {delivery.external_order_id for delivery in ledger.deliveries.values()}
    assert not kept, f"rolled back, and yet here: {kept}"


def what_is_accepted_is_kept(system, ledger):
    """5: an event that was answered 2xx has its row."""
    kept = {event.event_id for event in ledger.events}
    accepted = {json.loads(body)["eventId"] for body, status in system.answered if 200 <= status < 300}
    assert accepted <= kept, f"accepted and lost: {accepted - kept}"
    unheard = [status for _body, status in system.answered if status not in {200, 401}]
    assert not unheard, f"answered {unheard}"


def strangers_cost_nothing(system, ledger):
    """6: a webhook that is not signed is refused without a query and without a request."""
    for status, queries, requests in system.costs:
        assert (status, queries, requests) == (401, 0, 0)


def an_event_acts_once(system, ledger):
    """7: one row for an event, however often it comes, and at most one step in the history."""
    rows = Counter((event.account, event.environment, event.event_id) for event in ledger.events)
    assert not rows or max(rows.values()) == 1
    steps = Counter(change.event_id for change in ledger.changes if change.event_id)
    assert not steps or max(steps.values()) == 1, f"an event took effect twice: {steps.most_common(1)}"
    arrivals = Counter(json.loads(body)["eventId"] for body, status in system.answered if status == 200)
    received = {event.event_id: event.received_count for event in ledger.events}
    assert received == dict(arrivals)


def status_goes_forward(system, ledger):
    """8: no step backwards and none out of an end, unless a GET corrects it with a record."""
    for delivery in ledger.deliveries.values():
        steps = ledger.changes_of(delivery)
        for change in _kaspis_own(steps):
            forward = RANKS.get(change.to_status, 9) > RANKS.get(change.from_status, 0)
            strange = change.from_status not in RANKS or change.to_status not in RANKS
            moves = change.from_status not in TERMINAL and (forward or strange)
            assert moves or (change.source, change.note) == ("refresh", CORRECTED), f"{change} by {change.source}"
        assert _ends(steps) == ({"", delivery.status} if steps else set()), f"the history of {delivery} jumps: {steps}"


def _ends(steps):
    """Return the statuses that the steps, a kept one among them applied late, do not enter as often as they leave."""
    balance = Counter(change.from_status for change in steps)
    balance.subtract(change.to_status for change in steps)
    return {status for status, surplus in balance.items() if surplus}


def _kaspis_own(steps):
    """Leave out our own cancel of what was never sent, and the step that shows that Kaspi has it after all."""
    first = steps[0] if steps else None
    was_unsent = first and (first.from_status, first.to_status, first.source) == ("", "cancelled", "cancel")
    return steps[2:] if was_unsent else steps


def a_link_stays(system, ledger):
    """9: a deliveryId never changes; another parcel that speaks for the order is kept, flagged and shown."""
    for pk, delivery_id in system.names.items():
        assert ledger.deliveries[pk].delivery_id == delivery_id, f"{delivery_id} was replaced"
    system.names.update({row.pk: row.delivery_id for row in ledger.deliveries.values() if row.delivery_id})
    for event in ledger.events:
        delivery = ledger.named(event.external_order_id)
        if delivery is None or event.state == EventState.FAILED:
            continue
        if delivery.delivery_id != event.kaspi_delivery_id:
            flagged = delivery.attention == Attention.SECOND_PARCEL
            assert flagged or delivery.pk in system.acknowledged, f"{event} is about a parcel that is not flagged"


def nothing_is_lost(system, ledger):
    """10: every call and every open delivery is finished, scheduled, or is listed for staff."""
    for call in ledger.calls:
        delivery = ledger.deliveries[call.delivery_id]
        ended = call.state in {CallState.DONE, CallState.ABANDONED} or _is_answered(ledger, call)
        scheduled = call.next_attempt_at is not None
        assert scheduled == (call.state in ApiCall.UNRESOLVED), f"{call} is {call.state}, next {call.next_attempt_at}"
        listed = delivery.attention or not delivery.is_open
        assert ended or scheduled or listed, f"{call} is {call.state} and not listed"
    for delivery in ledger.deliveries.values():
        asking = any(call.next_attempt_at for call in ledger.calls_of(delivery, ApiCall.Kind.REFRESH))
        asked = asking or delivery.next_refresh_at or not delivery.delivery_id or not delivery.is_open
        assert asked or delivery.attention or delivery.pk in system.acknowledged, f"no refresh of {delivery}"
    for order in ledger.orders.values():
        wanted = order.paid and not order.cancelled
        assert ledger.newest_of(order) or not wanted, f"order {order.pk} has no delivery"


def the_shop_breaks_nothing(system, ledger):
    """11: whatever the shop's code raises stays there, and no chore of ours breaks on it."""
    broken = [line for line in system.journal.lines if any(words in line for words in BROKEN)]
    assert not broken, broken


def the_log_has_no_personal_data(system, ledger):
    """12: no key, secret, phone, name or address in a line of the log."""
    private = (*PRIVATE, *API_KEYS, *SECRETS)
    found = [line for line in system.journal.lines if any(words in line for words in private)]
    assert not found, found
    system.journal.lines.clear()


def one_order_is_one_order(system, ledger):
    """13: however an order's key was spelled, its deliveries and parcels go by the key that the database returns."""
    for delivery in ledger.deliveries.values():
        key = canonical(delivery.object_id)
        assert delivery.object_id == key, f"{delivery} is of order {delivery.object_id!r}"
        back, way = delivery.returned_generation, _numbered(f"order-{key}", delivery.returned_generation or 1)
        name = _numbered(f"{way}-return" if back else way, delivery.generation)
        assert delivery.external_order_id in {None, name}, f"order {key} is {delivery.external_order_id!r}"
    booked = Counter(
        (order_in(record.external_order_id), "-return" in record.external_order_id)
        for record in system.kaspi.deliveries.values()
        if record.status != CANCELLED and record.delivery_id not in system.fickle
    )
    doubled = {key for (key, _is_return), count in booked.items() if count > 1} - system.wrongly_absent
    assert not doubled, f"two parcels for {doubled}"


def _numbered(name, generation):
    return name if generation == 1 else f"{name}-{generation}"


def the_latest_word_counts(system, ledger):
    """14: the row in the database when a create is claimed decides; later only what may be booked goes again."""
    doubted = set()
    for seen in system.witness.seen:
        if not seen.is_create:
            continue
        if seen.key not in doubted and "-return" not in seen.key:
            assert seen.word is not None, f"{seen} is about an order that is gone"
            paid, cancelled = system.words_of_unsent.get(seen.key) or seen.word
            assert not cancelled, f"{seen} is about an order that was cancelled"
            assert paid or order_in(seen.key) in system.sent_by_staff, f"{seen} is about an order that is not paid"
        if seen.may_have_booked:
            doubted.add(seen.key)


def a_no_cancels_nothing(system, ledger):
    """14: only a shop's cancel and staff's end a delivery, never a no; what ends before it was sent is cancelled."""
    for delivery in ledger.deliveries.values():
        order = ledger.orders.get(delivery.object_id)
        if order is not None and delivery.cancel_requested_at:
            wanted = (order.cancelled and not delivery.is_return) or delivery.object_id in system.cancelled_by_staff
            assert wanted, f"{delivery} was cancelled, although neither shop nor staff asked for it"
    for call in ledger.calls:
        if call.kind == ApiCall.Kind.CREATE and call.state == CallState.ABANDONED and not call.attempts:
            delivery = ledger.deliveries[call.delivery_id]
            by_staff = delivery.pk in system.acknowledged or ledger.has_later(delivery)
            ended = delivery.status == CANCELLED or delivery.delivery_id or by_staff
            assert ended, f"{delivery} was given up unsent, and is {delivery.status!r}"


def one_surrounding(system, ledger):
    """15: the adapter is asked in the project's language and time zone, and sees no edits where there are none."""
    strange = Mood.surroundings - {(settings.LANGUAGE_CODE, settings.TIME_ZONE)}
    assert not strange, f"the adapter was asked in {strange}"
    for delivery in ledger.deliveries.values():
        edited = delivery.attention == Attention.ORDER_EDITED
        assert not edited or delivery.object_id in system.edited, f"the order of {delivery} was not edited"


PROMISES = (  # the causes first: a broken identity is a lost order, too
    one_order_is_one_order,
    the_latest_word_counts,
    one_surrounding,
    one_live_parcel,
    keys_carry_their_bytes,
    old_keys_are_left_alone,
    no_request_inside_a_transaction,
    what_is_accepted_is_kept,
    strangers_cost_nothing,
    an_event_acts_once,
    status_goes_forward,
    a_link_stays,
    nothing_is_lost,
    the_shop_breaks_nothing,
    the_log_has_no_personal_data,
    a_no_cancels_nothing,
)


def check(system, ledger):
    for promise in PROMISES:
        promise(system, ledger)


def _is_answered(ledger, call):
    """Return whether a no was all that was asked for, or whether a later call asks again."""
    latest = ledger.calls_of(ledger.deliveries[call.delivery_id], call.kind)[-1]
    return latest.pk != call.pk or (call.kind == ApiCall.Kind.LINK and call.state == CallState.REFUSED)
