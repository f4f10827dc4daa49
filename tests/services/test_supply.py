"""What is sent next is claimed together, or one by one: never for long, and never for nothing."""

import pytest
from django.db import InterfaceError

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.services import claims, gate, supply
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pks(kaspi, monkeypatch):
    """Return the keys of three due calls that cannot be claimed together."""
    monkeypatch.setattr(claims, "take_many", broken)
    for _ in range(3):
        Order.objects.create()
    return list(ApiCall.objects.values_list("pk", flat=True))


def broken(*_arguments, **_options):
    """Fail for a reason of its own."""
    raise ZeroDivisionError


def test_one_by_one_ends_after_a_second(pks, monkeypatch):
    """What is claimed already has a lease that runs; the others stay due."""
    monkeypatch.setattr(claims, "BUILD_S", -1.0)
    assert supply.take(pks) == []
    assert set(ApiCall.objects.values_list("state", flat=True)) == {"due"}


@pytest.mark.parametrize("claimed", [1, 2])
def test_what_is_claimed_is_not_lost_when_the_database_goes_away(pks, monkeypatch, claimed):
    """It is sent; whoever asks the database next hears of it."""
    take, left = claims.take, [None] * claimed

    def going(pk, *, using):
        if not left:
            raise InterfaceError
        left.pop()
        return take(pk, using=using)

    monkeypatch.setattr(claims, "take", going)
    assert [claim.call.pk for claim in supply.take(pks)] == pks[:claimed]


def test_a_database_that_is_away_from_the_start_is_said(pks, monkeypatch):
    """Nothing is claimed, and the round ends."""

    def away(_pk, *, using):
        raise InterfaceError

    monkeypatch.setattr(claims, "take", away)
    with pytest.raises(InterfaceError):
        supply.take(pks)


def test_a_call_given_back_is_as_it_was(pks):
    """Due, with no attempt burned; its claim is worth nothing any more."""
    claim = claims.take(pks[0], using="default")
    claims.give_back(claim, using="default")
    call = ApiCall.objects.get(pk=pks[0])
    assert (call.state, call.attempts, call.unknown_since, call.claim_token) == ("due", 0, None, "")


def test_a_call_of_unknown_outcome_given_back_stays_unknown(pks, turnable):
    """Since when, it is still said: an earlier attempt may have acted."""
    ApiCall.objects.filter(pk=pks[0]).update(state="unknown", unknown_since=turnable.now, attempts=2)
    ApiCall.objects.filter(pk=pks[0]).update(api_key_fingerprint="", base_url="")
    claim = claims.Claim(ApiCall.objects.get(pk=pks[0]), None, None, was_unknown=True, probe=False)
    claim.call.attempts, claim.call.claim_token = 3, "mine"
    ApiCall.objects.filter(pk=pks[0]).update(state="sending", claim_token="mine", attempts=3)
    claims.give_back(claim, using="default")
    call = ApiCall.objects.get(pk=pks[0])
    assert (call.state, call.attempts, call.unknown_since) == ("unknown", 2, turnable.now)


def test_a_probe_given_back_leaves_the_gate_to_another(pks, turnable):
    """Nobody was asked, so somebody else may ask at once."""
    delivery = ApiCall.objects.get(pk=pks[0]).delivery
    gate.close(delivery, until=turnable.now, reason="429")
    probe = claims.take(pks[0], using="default")
    assert probe.probe
    claims.give_back(probe, using="default")
    assert gate.admit(delivery, turnable.now) is gate.Admission.PROBE
