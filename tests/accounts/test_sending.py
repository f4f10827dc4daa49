"""What stops one merchant's calls lets the other's go on."""

import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest

from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.outbox import due_calls, rate_limit
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.accounts.merchants import OwnNamesAdapter, credentials, order_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def many(settings, fakes):
    """Save so many orders of a city."""
    path = f"{OwnNamesAdapter.__module__}.{OwnNamesAdapter.__name__}"
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [path]}
    return lambda alias, count: [order_in(alias) for _number in range(count)]


def states():
    """Return how each account's calls stand."""
    return {alias: set(rows) for alias, rows in _rows().items()}


def _rows():
    found = {}
    for alias, state in ApiCall.objects.values_list("delivery__account", "state"):
        found.setdefault(alias, []).append(state)
    return found


@pytest.mark.parametrize("fault", [{"status": 401}, {"status": 403}, {"status": 429, "retry_after": 60}])
def test_a_refusal_closes_one_gate(many, fakes, drain, turnable, fault):
    """The other merchant's orders leave at once; the refused one's leave when their gate opens."""
    fakes["almaty"].faults.add(Fault(operation="create", **fault))
    many("almaty", 3)
    many("astana", 3)
    drain()
    assert states() == {"almaty": {"due"}, "astana": {"done"}}
    closed = AccountState.objects.filter(closed_until__gt=turnable.now)
    assert [state.account for state in closed] == ["almaty"]
    many("astana", 2)
    drain()
    assert states()["astana"] == {"done"}
    for _minute in range(8):
        turnable.turn(minutes=1)
        drain()
    assert states() == {"almaty": {"done"}, "astana": {"done"}}


def test_a_wrong_key_is_mended_alone(many, fakes, drain, shop, turnable):
    """The other account's client and its key stay as they are."""
    shop("almaty", API_KEY="a-wrong-key")
    many("almaty", 1)
    many("astana", 1)
    drain()
    assert [request.status for request in fakes["almaty"].requests] == [401]
    shop("almaty", API_KEY="the-api-key-of-almaty")
    turnable.turn(minutes=10)
    drain()
    assert states() == {"almaty": {"done"}, "astana": {"done"}}
    assert {request.status for request in fakes["astana"].requests} == {201}


def test_a_rotated_key_holds_back_its_own_unknown_bookings_only(many, fakes, drain, shop, turnable):
    """The other account's booking of unknown outcome is sent again with its key."""
    for kaspi in fakes.values():
        kaspi.webhook_url = None
        kaspi.faults.add(Fault(operation="create", drop="after"))
    many("almaty", 1)
    many("astana", 1)
    drain()
    assert states() == {"almaty": {"unknown"}, "astana": {"unknown"}}
    shop("almaty", API_KEY="a-new-key")
    turnable.turn(minutes=5)
    drain()
    assert states() == {"almaty": {"stuck"}, "astana": {"done"}}
    flagged = Delivery.objects.exclude(attention="").values_list("account", "attention")
    assert list(flagged) == [("almaty", "configuration_changed")]


def test_an_account_without_a_key_stops_nobody(many, drain, shop, caplog):
    """However many of its orders wait, longer than all others; the log says so once."""
    shop("almaty", API_KEY="")
    many("almaty", 120)
    many("astana", 1)
    with caplog.at_level(logging.ERROR):
        drain()
        drain()
    assert states() == {"almaty": {"due"}, "astana": {"done"}}
    assert due_calls.select(limit=10) == []
    assert caplog.text.count("no API key is configured, calls stay due: account=almaty") == 1


def test_a_backlog_of_one_leaves_the_other_its_share(many):
    """Calls that became due later go as well, in the same batch."""
    many("almaty", 12)
    late = many("astana", 2)
    found = ApiCall.objects.filter(pk__in=due_calls.select(limit=6)).values_list("delivery__object_id", flat=True)
    assert len(found) == 6
    assert {str(order.pk) for order in late} <= set(found)


def test_an_account_that_is_gone_has_its_turn_too(many, shop, settings):
    """Its calls ask for a person when they are looked at, however much waits before them."""
    many("almaty", 12)
    [late] = many("astana", 1)
    left = {alias: credentials(alias) for alias in ("almaty", "aktau")}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": left}
    found = ApiCall.objects.filter(pk__in=due_calls.select(limit=6))
    assert found.filter(delivery__object_id=str(late.pk)).exists()


def test_a_shop_with_one_account_is_asked_about_no_other(many, settings, django_assert_num_queries):
    """However much is due: looking for what is nobody's would read all of it."""
    many("almaty", 12)
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": {"almaty": credentials("almaty")}}
    with django_assert_num_queries(2):
        assert len(due_calls.select(limit=6)) == 6


def test_one_account_alone_may_fill_a_batch(many):
    """A share that nobody needs is not kept free."""
    many("almaty", 8)
    assert len(due_calls.select(limit=6)) == 6


def test_a_batch_that_is_not_full_is_read_at_once(many, django_assert_num_queries):
    """The clock, the gates and the calls: no question more for each account, as often as a worker looks."""
    many("almaty", 3)
    with django_assert_num_queries(2):
        assert len(due_calls.select(limit=6)) == 3


def test_calls_that_may_not_go_cost_no_turn(many, fakes, settings, turnable, monkeypatch):
    """A gate that closes in the middle of a batch makes the other merchant's calls wait for no rate."""
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


def test_a_worker_is_seen_for_every_account(drain, turnable):
    """It sends for all of them."""
    drain()
    seen = AccountState.objects.filter(worker_seen_at=turnable.now).values_list("account", flat=True)
    assert set(seen) == {"almaty", "astana"}


def test_a_pause_of_one_account_delays_no_other_by_its_length(many, fakes, drain, turnable):
    """An hour for one is no second for the other."""
    fakes["almaty"].faults.add(Fault(operation="create", status=429, retry_after=3600))
    many("almaty", 1)
    drain()
    turnable.turn(seconds=1)
    many("astana", 1)
    drain()
    assert states() == {"almaty": {"due"}, "astana": {"done"}}
    assert AccountState.objects.get(account="almaty").closed_until - turnable.now > timedelta(minutes=59)
