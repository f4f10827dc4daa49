"""The list that asks for a person: what stays on it, and what may push what aside."""

import contextlib

import pytest
from django.db import transaction

from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.services.db import lock_current
from kaspi_delivery_django.services.deliveries import attention
from kaspi_delivery_django.signals import delivery_needs_attention
from tests.services.conftest import fresh
from tests.shop.models import Order


@pytest.fixture
def delivery(db):
    """Return a delivery that needs nobody."""
    Order.objects.create()
    return Delivery.objects.get()


@pytest.mark.parametrize("later", [*Attention])
def test_a_second_parcel_stays_marked(delivery, later):
    """Nothing is graver."""
    attention.flag(delivery, Attention.SECOND_PARCEL)
    attention.flag(delivery, later)
    assert delivery.attention == Attention.SECOND_PARCEL


@pytest.mark.parametrize("passing", [Attention.CONTRADICTION, Attention.ORDER_EDITED])
def test_what_may_clear_itself_replaces_nothing(delivery, passing):
    """Or the next answer of Kaspi's would clear the graver reason with it."""
    attention.flag(delivery, Attention.CANCEL_REFUSED)
    attention.flag(delivery, passing)
    assert delivery.attention == Attention.CANCEL_REFUSED


def test_a_graver_reason_replaces_a_passing_one(delivery):
    """The person reads what matters."""
    attention.flag(delivery, Attention.ORDER_EDITED)
    attention.flag(delivery, Attention.CANCEL_REFUSED)
    assert delivery.attention == Attention.CANCEL_REFUSED


@pytest.fixture
def told():
    """Record which reasons the shop is notified of, with the delivery's own at that moment."""
    found = []

    def note(delivery, attention, **_kwargs):
        found.append((attention, delivery.attention))

    delivery_needs_attention.connect(note)
    yield found
    delivery_needs_attention.disconnect(note)


def change(delivery, *steps):
    """Do something with the locked row, in a transaction of its own, and save it."""
    with transaction.atomic():
        locked = lock_current(delivery)
        for step in steps:
            step(locked)
            locked.save(update_fields=attention.COLUMNS)
    return fresh(delivery)


def flags(reason, **options):
    """Return the step that flags a reason."""
    return lambda delivery: attention.flag(delivery, Attention(reason), **options)


def flags_on_the_way(reason):
    """Return a step that flags what the same news may clear again."""
    return flags(reason, even_if_cleared=True)


def clears(reason):
    """Return the step that clears a reason."""
    return lambda delivery: attention.clear(delivery, frozenset({Attention(reason)}))


commits = pytest.mark.django_db(transaction=True)


@commits
def test_the_shop_is_told_once(delivery, told):
    """After the commit, with the reason."""
    change(delivery, flags("refused"), flags("refused"))
    change(delivery, flags("refused"))
    assert told == [("refused", "refused")]


@commits
def test_one_transaction_announces_a_reason_once(delivery, told):
    """However often it is flagged and cleared in it."""
    change(delivery, flags("adapter_failed"), clears("adapter_failed"), flags("adapter_failed"))
    assert told == [("adapter_failed", "adapter_failed")]


@commits
def test_what_a_transaction_clears_again_is_not_announced(delivery, told):
    """A second save of the same checkout may have corrected it."""
    change(delivery, flags("adapter_failed"), clears("adapter_failed"))
    assert told == []


@commits
@pytest.mark.parametrize("between", [(), (clears(Attention.CANCEL_REFUSED),)], ids=["still marked", "cleared"])
def test_what_must_be_told_is_told_though_it_was_noted_before(delivery, told, between):
    """What the shop hears of in any case does not depend on who flagged it first."""
    reason = Attention.CANCEL_REFUSED
    change(delivery, flags(reason), *between, flags_on_the_way(reason), clears(reason))
    assert told == [(reason, "")]


@commits
def test_what_is_noted_twice_in_either_way_is_told_once(delivery, told):
    """The order of the two does not matter."""
    reason = Attention.CANCEL_REFUSED
    steps = [flags(reason), clears(reason), flags_on_the_way(reason)]
    change(delivery, *steps, clears(reason), *steps)
    assert told == [(reason, reason)]


@commits
def test_what_was_told_before_is_not_told_again_on_the_way(delivery, told):
    """It is on the list, and the shop knows."""
    reason = Attention.CANCEL_REFUSED
    change(delivery, flags(reason))
    change(delivery, flags_on_the_way(reason), clears(reason))
    assert told == [(reason, reason)]


@commits
def test_what_must_be_told_is_forgotten_with_its_savepoint(delivery, told):
    """What was noted before the savepoint stands, and is told only if it lasts."""

    def roll_back(locked):
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            flags_on_the_way(Attention.CANCEL_REFUSED)(locked)
            raise ZeroDivisionError

    change(delivery, flags(Attention.CANCEL_REFUSED), roll_back, clears(Attention.CANCEL_REFUSED))
    assert told == []


@commits
def test_what_was_rolled_back_is_announced_when_it_comes_back(delivery, told):
    """A savepoint takes its announcement with it."""
    with transaction.atomic():
        with contextlib.suppress(KeyError), transaction.atomic():
            change(delivery, flags("refused"))
            raise KeyError
        change(delivery, flags("refused"))
    assert told == [("refused", "refused")]


@commits
@pytest.mark.parametrize("reason", sorted(set(Attention) - {Attention.SECOND_PARCEL}))
def test_an_acknowledged_reason_stays_settled(delivery, told, reason):
    """Whatever it is: the same occurrence does not come back."""
    change(delivery, flags(reason), attention.acknowledge)
    assert change(delivery, flags(reason)).attention == ""
    assert len(told) == 0  # it was acknowledged before the commit
    assert change(delivery, flags(reason, occurrence="a new fact")).attention == reason
    assert told == [(reason, reason)]


@commits
@pytest.mark.parametrize("reason", ["second_parcel", "contradiction", "order_edited", "foreign_delivery"])
def test_another_occurrence_is_raised_again(delivery, told, reason):
    """A third parcel, another event, another edit."""
    for occurrence in ("one", "one", "two"):
        change(delivery, flags(reason, occurrence=occurrence))
        if fresh(delivery).attention:
            change(delivery, attention.acknowledge)
    assert told == [(reason, reason)] * 2


@commits
def test_what_was_over_in_between_is_raised_again(delivery, told):
    """As an adapter that failed, answered, and fails again; acknowledged or not."""
    change(delivery, flags("not_found"))
    change(delivery, attention.acknowledge)
    change(delivery, clears("not_found"))
    change(delivery, flags("not_found"))
    assert told == [("not_found", "not_found")] * 2


@commits
def test_what_was_pushed_aside_comes_back_quietly(delivery, told):
    """It was announced, and no one has acknowledged it."""
    change(delivery, flags("order_edited", occurrence="digest"), flags("cancel_refused"))
    change(delivery, clears("cancel_refused"), flags("order_edited", occurrence="digest"))
    assert fresh(delivery).attention == "order_edited"
    assert [reason for reason, _now in told] == ["cancel_refused"]


@commits
def test_an_announcement_that_fails_ends_nothing(delivery, told, monkeypatch, caplog):
    """The shop's transaction is over and good."""
    monkeypatch.setattr(attention.delivery_needs_attention, "send_robust", lambda *_args, **_kwargs: 1 / 0)
    change(delivery, flags("refused"))
    assert "not announced" in caplog.text


def test_a_row_of_an_earlier_version_can_be_acknowledged(delivery):
    """It does not know what was raised."""
    Delivery.objects.update(attention="cancel_refused")
    assert change(delivery, attention.acknowledge).attention == ""
    assert change(delivery, flags("cancel_refused")).attention == ""


def test_all_reasons_fit_into_the_column(delivery):
    """The longest row that can be."""
    for reason in Attention:
        attention.flag(delivery, reason, occurrence=reason.value)
        attention.acknowledge(delivery)
    assert len(delivery.raised_reasons) < Delivery._meta.get_field("raised_reasons").max_length
