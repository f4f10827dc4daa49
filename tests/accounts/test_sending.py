"""A problem of one merchant's calls delays no other's."""

import logging
from collections import defaultdict
from types import SimpleNamespace

import pytest

from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.outbox import due_calls, rate_limit
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.accounts.merchants import OwnNamesAdapter, credentials, order_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def many(settings, fakes):
    """Save so many orders of a city."""
    path = f"{OwnNamesAdapter.__module__}.{OwnNamesAdapter.__name__}"
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [path]}
    return lambda alias, count: [order_in(alias) for _number in range(count)]


def states():
    """Return the states of each account's calls."""
    found = defaultdict(set)
    for alias, state in ApiCall.objects.values_list("delivery__account", "state"):
        found[alias].add(state)
    return found


@pytest.mark.django_db(transaction=True)  # the calls are spread after the commit
@pytest.mark.parametrize("fault", [{"status": 401}, {"status": 429, "retry_after": 60}])
def test_a_refusal_opens_one_circuit_breaker(many, fakes, drain, fake_clock, fault):
    """The other merchant's orders are sent at once; the refused ones when their breaker closes."""
    fakes["almaty"].faults.add(Fault(operation="create", **fault))
    many("almaty", 3)
    many("astana", 3)
    drain()
    assert states() == {"almaty": {"due"}, "astana": {"done"}}
    blocked = AccountState.objects.filter(closed_until__gt=fake_clock.now)
    assert [state.account for state in blocked] == ["almaty"]
    many("astana", 1)
    drain()
    assert states()["astana"] == {"done"}
    for _minute in range(8):
        fake_clock.advance(minutes=1)
        drain()
    assert states() == {"almaty": {"done"}, "astana": {"done"}}


def test_a_wrong_key_is_corrected_alone(many, fakes, drain, shop, fake_clock):
    """The other account's client and its key stay the same; a worker reports itself for both accounts."""
    shop("almaty", API_KEY="a-wrong-key")
    many("almaty", 1)
    many("astana", 1)
    drain()
    assert [request.status for request in fakes["almaty"].requests] == [401]
    shop("almaty", API_KEY="the-api-key-of-almaty")
    fake_clock.advance(minutes=10)
    drain()
    assert states() == {"almaty": {"done"}, "astana": {"done"}}
    assert {request.status for request in fakes["astana"].requests} == {201}
    assert AccountState.objects.filter(worker_seen_at=fake_clock.now).count() == 2


def test_a_rotated_key_holds_only_its_own_unknown_bookings(many, fakes, drain, shop, fake_clock):
    """The other account's booking of unknown outcome is sent again with its key."""
    for kaspi in fakes.values():
        kaspi.webhook_url = None
        kaspi.faults.add(Fault(operation="create", drop="after"))
    many("almaty", 1)
    many("astana", 1)
    drain()
    assert states() == {"almaty": {"unknown"}, "astana": {"unknown"}}
    shop("almaty", API_KEY="a-new-key")
    fake_clock.advance(minutes=5)
    drain()
    assert states() == {"almaty": {"stuck"}, "astana": {"done"}}
    flagged = Delivery.objects.exclude(attention="").values_list("account", "attention")
    assert list(flagged) == [("almaty", "configuration_changed")]


def test_an_account_without_a_key_delays_no_other(many, drain, shop, caplog):
    """However many of its orders are due, longer than all others; it is logged once."""
    shop("almaty", API_KEY="")
    many("almaty", 120)
    many("astana", 1)
    with caplog.at_level(logging.ERROR):
        drain()
        drain()
    assert states() == {"almaty": {"due"}, "astana": {"done"}}
    assert due_calls.select(limit=10) == []
    assert caplog.text.count("no API key is configured, calls stay due: account=almaty") == 1


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_backlog_of_one_account_leaves_the_other_its_share(many, shop, settings, is_gone):
    """Calls that became due later are in the same batch, also those of an account that the settings no longer have."""
    many("almaty", 12)
    late = many("astana", 2)
    left = {alias: credentials(alias) for alias in ("almaty", "aktau" if is_gone else "astana")}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": left}
    found = ApiCall.objects.filter(pk__in=due_calls.select(limit=6)).values_list("delivery__object_id", flat=True)
    assert len(found) == 6
    assert str(late[0].pk) in found


def test_a_batch_takes_two_queries(many, settings, django_assert_num_queries):
    """Of a shop with one account whatever is due, or if all that is due fits; one account alone may fill it."""
    many("almaty", 3)
    with django_assert_num_queries(2):
        assert len(due_calls.select(limit=6)) == 3
    many("almaty", 9)
    assert len(due_calls.select(limit=6)) == 6
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": {"almaty": credentials("almaty")}}
    with django_assert_num_queries(2):
        assert len(due_calls.select(limit=6)) == 6


@pytest.mark.failure_mode("request: too many requests")
def test_blocked_calls_wait_for_no_rate_limit(many, fakes, settings, fake_clock, monkeypatch):
    """The worker waits for the next slot; calls behind a circuit breaker that opens meanwhile wait for none."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 0.01}
    fakes["almaty"].faults.add(Fault(operation="create", status=429, retry_after=3600, times=None))
    worker, waits = Worker(log=lambda _line: None), [0.0]
    worker._stopped.wait = lambda seconds: waits.append(seconds) or False
    rate_limit.rate_limiter.cache_clear()
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: sum(waits)))
    many("almaty", 10)
    worker.run_round()
    assert [wait for wait in waits if wait > 0] == [100]
    assert len(fakes["almaty"].requests) == 1
