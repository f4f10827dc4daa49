"""What is sent next is claimed together, or one by one: never for long, and never for nothing."""

import pytest
from django.db import InterfaceError

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.services.outbox import circuit_breaker, claims, leases, pipeline
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


def test_claims_one_by_one_end_after_a_second(pks, monkeypatch):
    """The leases of the claimed calls run; the others stay due."""
    monkeypatch.setattr(claims, "MAX_BUILD_S", -1.0)
    assert pipeline.claim_calls(pks) == []
    assert set(ApiCall.objects.values_list("state", flat=True)) == {"due"}


@pytest.mark.parametrize("claimed", [1, 2])
def test_claimed_calls_are_sent_when_the_database_goes_away(pks, monkeypatch, claimed):
    """The next statement raises the error."""
    claim, left = claims.claim, [None] * claimed

    def going(pk, *, using):
        if not left:
            raise InterfaceError
        left.pop()
        return claim(pk, using=using)

    monkeypatch.setattr(claims, "claim", going)
    assert [one.call.pk for one in pipeline.claim_calls(pks)] == pks[:claimed]


def test_an_unavailable_database_is_raised_when_nothing_is_claimed(pks, monkeypatch):
    """The round ends."""

    def away(_pk, *, using):
        raise InterfaceError

    monkeypatch.setattr(claims, "claim", away)
    with pytest.raises(InterfaceError):
        pipeline.claim_calls(pks)


def test_a_released_call_is_as_it_was(pks):
    """It is due, with the same number of attempts; its token is void."""
    claim = claims.claim(pks[0], using="default")
    leases.release(claim, using="default")
    call = ApiCall.objects.get(pk=pks[0])
    assert (call.state, call.attempts, call.unknown_since, call.claim_token) == ("due", 0, None, "")


def test_a_released_call_of_unknown_outcome_stays_unknown(pks, turnable):
    """`unknown_since` stays: an earlier attempt may have acted."""
    ApiCall.objects.filter(pk=pks[0]).update(state="unknown", unknown_since=turnable.now, attempts=2)
    ApiCall.objects.filter(pk=pks[0]).update(api_key_fingerprint="", base_url="")
    claim = leases.Claim(ApiCall.objects.get(pk=pks[0]), None, None, was_unknown=True, is_trial=False)
    claim.call.attempts, claim.call.claim_token = 3, "mine"
    ApiCall.objects.filter(pk=pks[0]).update(state="sending", claim_token="mine", attempts=3)
    leases.release(claim, using="default")
    call = ApiCall.objects.get(pk=pks[0])
    assert (call.state, call.attempts, call.unknown_since) == ("unknown", 2, turnable.now)


def test_a_released_trial_call_lets_another_be_the_trial(pks, turnable):
    """No request was made, so another call may go at once."""
    delivery = ApiCall.objects.get(pk=pks[0]).delivery
    circuit_breaker.trip(delivery, until=turnable.now, reason="429")
    probe = claims.claim(pks[0], using="default")
    assert probe.is_trial
    leases.release(probe, using="default")
    assert circuit_breaker.admit(delivery, turnable.now) is circuit_breaker.Breaker.HALF_OPEN
