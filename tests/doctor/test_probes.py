"""The GET of a delivery that cannot exist: each answer that Kaspi, or something else, can give."""

from dataclasses import replace
from datetime import timedelta

import pytest

from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.doctor.probes import compare_clocks
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import clock
from tests.conftest import NOON

OPEN = AccountState(account="default", environment="sandbox")


@pytest.fixture
def ask(account):
    """Ask with the account as it is, or changed; return the findings by their names."""

    def run(state=OPEN, **changes):
        return {found.name: found for found in probes.check_api(replace(account, **changes), state)}

    return run


def test_a_404_proves_the_key(ask, kaspi):
    """One GET, and nothing else, was asked; the clocks agree."""
    found = ask()
    assert {name: finding.outcome for name, finding in found.items()} == {"api": "pass", "key": "pass", "clock": "pass"}
    assert [(request.method, request.status) for request in kaspi.requests] == [("GET", 404)]


@pytest.mark.parametrize(
    ("changes", "name", "todo"),
    [
        ({"api_key": "another-key"}, "key", "Set KASPI_DELIVERY_API_KEY to the sandbox key"),
        ({"api_key": "another-key", "environment": "local"}, "key", "Leave KASPI_DELIVERY_API_KEY out"),
        ({"base_url": "http://127.0.0.1:1"}, "api", "outbound HTTPS"),
        ({"base_url": "http://127.0.0.1:1", "environment": "local"}, "api", "manage.py kaspi_sandbox"),
    ],
)
def test_a_wrong_key_or_address_fails_with_its_remedy(ask, changes, name, todo):
    """The bundled sandbox has its own; a key is not judged unless Kaspi was reached, and never shown."""
    found = ask(**changes)
    assert [*found] == (["api"] if name == "api" else ["api", "key", "clock"])
    assert (found[name].outcome, todo in found[name].todo) == ("fail", True)
    assert "another-key" not in str(found)


def test_a_disabled_key_must_be_enabled(ask, kaspi):
    """A 403 is no wrong key."""
    kaspi.disabled_keys.add(kaspi.api_key)
    found = ask()["key"]
    assert (found.outcome, "403" in found.message, "enabled" in found.todo) == ("fail", True, True)


def test_without_a_key_nothing_is_asked(ask, kaspi):
    """There is nothing to prove."""
    found = ask(api_key="")
    assert ([*found], found["key"].outcome, kaspi.requests) == (["key"], "fail", [])


@pytest.mark.parametrize(
    ("reason", "ahead_s", "asked"),
    [
        ("Kaspi answered the booking with an error (status=429 code=rate_limited)", 60, 0),
        ("(status=429 code=rate_limited)", -1, 1),
        ("(status=401 code=unauthorized)", 60, 1),
    ],
)
def test_only_a_pause_that_kaspi_asked_for_is_kept(ask, kaspi, reason, ahead_s, asked):
    """A key that was just corrected can be tried, and a pause that is over is over."""
    closed_until = clock.now() + timedelta(seconds=ahead_s)
    state = AccountState(account="default", environment="sandbox", closed_until=closed_until, closed_reason=reason)
    found = ask(state=state)
    assert (found["api"].outcome, len(kaspi.requests)) == ("pass" if asked else "fail", asked)


@pytest.mark.django_db(transaction=True)
def test_a_refused_key_opens_no_circuit_breaker(ask):
    """The doctor's own request is no call."""
    assert ask(api_key="another-key")["key"].outcome == "fail"
    assert not AccountState.objects.exists()


@pytest.mark.parametrize(
    ("fault", "todo"),
    [
        (Fault(operation="get", status=429, retry_after=90), "again in 90 s"),
        (Fault(operation="get", status=503), "Kaspi's side"),
        (Fault(operation="get", status=200), "BASE_URL"),
        (Fault(operation="get", status=302), "BASE_URL"),
        (Fault(operation="get", latency_s=5), "network in between, then ask Kaspi"),
    ],
)
def test_what_is_no_answer_to_this_question_fails(ask, kaspi, monkeypatch, fault, todo):
    """A limit, an error of Kaspi's, another server, or nothing within the time: the key is not judged."""
    monkeypatch.setattr(probes, "TIMEOUT_S", 0.2)
    kaspi.faults.add(fault)
    found = ask()
    assert (found["api"].outcome, todo in found["api"].todo, "key" in found) == ("fail", True, False)


def test_a_slow_answer_is_a_failure(ask, kaspi, monkeypatch):
    """A booking as slow as that would be of unknown outcome; the key is proven all the same."""
    monkeypatch.setattr(probes, "SLOW_S", 0.05)
    kaspi.faults.add(Fault(operation="get", latency_s=0.1))
    found = ask()
    assert (found["api"].outcome, found["key"].outcome) == ("fail", "pass")


def test_a_clock_that_is_wrong_is_found(ask, kaspi, monkeypatch):
    """By the Date of Kaspi's answer; without one, staff must look."""
    kaspi.clock = lambda: clock.now().timestamp() - 400
    found = ask()["clock"]
    assert (found.outcome, "ahead of Kaspi's" in found.message) == ("fail", True)
    monkeypatch.setattr(probes.protocol, "read_date", lambda _header: None)
    found = ask()["clock"]
    assert (found.outcome, "timedatectl" in found.todo) == ("yours", True)


@pytest.mark.parametrize(
    ("name", "off_s", "outcome", "message"),
    [
        ("clock", 0, "pass", "Within 30 s"),
        ("clock", 30, "pass", "Within 30 s"),
        ("clock", 31, "fail", "31 s ahead of Kaspi's"),
        ("clock", -400, "fail", "400 s behind Kaspi's"),
        ("database clock", -120, "fail", "120 s behind the database's"),
    ],
)
def test_clocks_are_compared(name, off_s, outcome, message):
    """Which way ours is wrong decides nothing, and is said."""
    found = compare_clocks(name, NOON + timedelta(seconds=off_s), NOON)
    assert (found.outcome, message in found.message, "NTP" in found.todo) == (outcome, True, outcome == "fail")
