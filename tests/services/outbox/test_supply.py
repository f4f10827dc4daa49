"""What is sent next is claimed together, or one by one: never for long, and never for nothing."""

import pytest
from django.db import InterfaceError

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.services.outbox import circuit_breaker, claims, pipeline
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pks(kaspi, monkeypatch):
    """Return the keys of three due calls that cannot be claimed together."""
    monkeypatch.setattr(claims, "claim_many", broken)
    for _ in range(3):
        Order.objects.create()
    return list(ApiCall.objects.values_list("pk", flat=True))


def broken(*_arguments, **_options):
    """Fail for a reason of its own."""
    raise ZeroDivisionError


def test_one_by_one_ends_after_a_second(pks, monkeypatch):
    """What is claimed already has a lease that runs; the others stay due."""
    monkeypatch.setattr(claims, "MAX_BUILD_S", -1.0)
    assert pipeline.claim_calls(pks) == []
    assert set(ApiCall.objects.values_list("state", flat=True)) == {"due"}


@pytest.mark.parametrize("claimed", [1, 2])
def test_what_is_claimed_is_not_lost_when_the_database_goes_away(pks, monkeypatch, claimed):
    """It is sent; whoever asks the database next hears of it."""
    take, left = claims.claim, [None] * claimed

    def going(pk, *, using):
        if not left:
            raise InterfaceError
        left.pop()
        return take(pk, using=using)

    monkeypatch.setattr(claims, "claim", going)
    assert [claim.call.pk for claim in pipeline.claim_calls(pks)] == pks[:claimed]


def test_a_database_that_is_away_from_the_start_is_said(pks, monkeypatch):
    """Nothing is claimed, and the round ends."""

    def away(_pk, *, using):
        raise InterfaceError

    monkeypatch.setattr(claims, "claim", away)
    with pytest.raises(InterfaceError):
        pipeline.claim_calls(pks)


def test_a_call_given_back_is_as_it_was(pks):
    """Due, with no attempt burned; its claim is worth nothing any more."""
    claim = claims.claim(pks[0], using="default")
    claims.release(claim, using="default")
    call = ApiCall.objects.get(pk=pks[0])
    assert (call.state, call.attempts, call.unknown_since, call.claim_token) == ("due", 0, None, "")


def test_a_call_of_unknown_outcome_given_back_stays_unknown(pks, turnable):
    """Since when, it is still said: an earlier attempt may have acted."""
    ApiCall.objects.filter(pk=pks[0]).update(state="unknown", unknown_since=turnable.now, attempts=2)
    ApiCall.objects.filter(pk=pks[0]).update(api_key_fingerprint="", base_url="")
    claim = claims.Claim(ApiCall.objects.get(pk=pks[0]), None, None, was_unknown=True, is_trial=False)
    claim.call.attempts, claim.call.claim_token = 3, "mine"
    ApiCall.objects.filter(pk=pks[0]).update(state="sending", claim_token="mine", attempts=3)
    claims.release(claim, using="default")
    call = ApiCall.objects.get(pk=pks[0])
    assert (call.state, call.attempts, call.unknown_since) == ("unknown", 2, turnable.now)


def test_a_probe_given_back_leaves_the_gate_to_another(pks, turnable):
    """Nobody was asked, so somebody else may ask at once."""
    delivery = ApiCall.objects.get(pk=pks[0]).delivery
    circuit_breaker.trip(delivery, until=turnable.now, reason="429")
    probe = claims.claim(pks[0], using="default")
    assert probe.is_trial
    claims.release(probe, using="default")
    assert circuit_breaker.admit(delivery, turnable.now) is circuit_breaker.Breaker.HALF_OPEN
