"""The GET of a delivery that cannot exist: each answer that Kaspi, or something else, can give."""

from dataclasses import replace
from datetime import timedelta

import pytest

from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.stats.accounts import AccountStats

OPEN = AccountStats(alias="default", environment="sandbox")


def closed(reason, **ahead):
    """Return the figures of an account whose gate is closed for this long."""
    return replace(OPEN, closed_until=clock.now() + timedelta(**ahead), closed_reason=reason)


@pytest.fixture
def ask(account):
    """Ask with the account as it is, or changed; return the findings by their names."""

    def run(state=OPEN, **changes):
        return {found.name: found for found in probes.check_api(replace(account, **changes), state)}

    return run


def test_a_404_proves_the_key(ask, kaspi):
    """One GET, and nothing else, was asked; the clocks agree."""
    found = ask()
    assert {name: finding.verdict for name, finding in found.items()} == {"api": "pass", "key": "pass", "clock": "pass"}
    assert [(request.method, request.status) for request in kaspi.requests] == [("GET", 404)]


def test_a_wrong_key_is_said_with_its_variable(ask):
    """Kaspi was reached, so that only the key is to be changed."""
    found = ask(api_key="another-key")
    assert (found["api"].verdict, found["key"].verdict) == ("pass", "fail")
    assert "401" in found["key"].says
    assert "KASPI_DELIVERY_API_KEY" in found["key"].todo
    assert "another-key" not in str(found)


def test_the_bundled_sandbox_needs_no_key(ask):
    """One that is set is in its way."""
    found = ask(api_key="another-key", environment="local")["key"]
    assert (found.verdict, "Leave KASPI_DELIVERY_API_KEY out" in found.todo) == ("fail", True)


def test_a_disabled_key_is_another_matter(ask, kaspi):
    """It must be enabled, not mended."""
    kaspi.disabled_keys.add(kaspi.api_key)
    found = ask()["key"]
    assert (found.verdict, "403" in found.says, "enabled" in found.todo) == ("fail", True, True)


def test_without_a_key_nothing_is_asked(ask, kaspi):
    """There is nothing to prove."""
    found = ask(api_key="")
    assert ([*found], found["key"].verdict, kaspi.requests) == (["key"], "fail", [])


@pytest.mark.parametrize(("environment", "todo"), [("sandbox", "outbound HTTPS"), ("local", "manage.py kaspi_sandbox")])
def test_nobody_there(ask, environment, todo):
    """Of the bundled sandbox it says what to start; of Kaspi, what to open. The key is not judged."""
    found = ask(environment=environment, base_url="http://127.0.0.1:1")
    assert [*found] == ["api"]
    assert (found["api"].verdict, todo in found["api"].todo) == ("fail", True)


def test_a_429_is_left_in_peace(ask, kaspi):
    """It says when to come back."""
    kaspi.faults.add(Fault(operation="get", status=429, retry_after=90))
    found = ask()
    assert (found["api"].verdict, "again in 90 s" in found["api"].todo) == ("fail", True)
    assert "key" not in found


def test_a_pause_that_kaspi_asked_for_is_kept(ask, kaspi):
    """The gate says until when; nothing is asked."""
    found = ask(state=closed("Kaspi answered the booking with an error (status=429 code=rate_limited)", seconds=60))
    assert ([*found], found["api"].verdict, kaspi.requests) == (["api"], "fail", [])


@pytest.mark.parametrize(
    ("reason", "seconds"), [("(status=401 code=unauthorized)", 60), ("(status=429 code=rate_limited)", -1)]
)
def test_another_gate_is_passed(ask, reason, seconds):
    """A key that was just mended can be tried, and a pause that is over is over."""
    assert ask(state=closed(reason, seconds=seconds))["key"].verdict == "pass"


@pytest.mark.django_db(transaction=True)
def test_a_refused_key_closes_no_gate(ask):
    """The doctor's own question alarms nobody."""
    assert ask(api_key="another-key")["key"].verdict == "fail"
    assert not AccountState.objects.exists()


@pytest.mark.parametrize(("status", "todo"), [(503, "Kaspi's side"), (200, "BASE_URL"), (302, "BASE_URL")])
def test_what_is_no_answer_to_this_question(ask, kaspi, status, todo):
    """Trouble at Kaspi's, or somebody else's server."""
    kaspi.faults.add(Fault(operation="get", status=status))
    found = ask()
    assert (found["api"].verdict, todo in found["api"].todo) == ("fail", True)
    assert "key" not in found


def test_an_answer_that_does_not_come(ask, kaspi, monkeypatch):
    """It waits for so long, and no longer."""
    monkeypatch.setattr(probes, "TIMEOUT_S", 0.2)
    kaspi.faults.add(Fault(operation="get", latency_s=5))
    assert "no whole answer" in ask()["api"].says


def test_a_slow_answer_is_a_failure(ask, kaspi, monkeypatch):
    """A booking as slow as that would be of unknown outcome; the key is proven all the same."""
    monkeypatch.setattr(probes, "SLOW_S", 0.05)
    kaspi.faults.add(Fault(operation="get", latency_s=0.1))
    found = ask()
    assert (found["api"].verdict, found["key"].verdict) == ("fail", "pass")


def test_a_clock_that_is_wrong_is_found(ask, kaspi, monkeypatch):
    """By the Date of Kaspi's answer."""
    kaspi.clock = lambda: clock.now().timestamp() - 400
    found = ask()["clock"]
    assert found.verdict == "fail"
    assert "ahead of Kaspi's" in found.says
