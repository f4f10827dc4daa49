"""The gate: closed for every worker at once, opened by one probe, without a herd."""

from datetime import timedelta

import pytest

from kaspi_delivery_django.models import AccountState, ApiCall
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import gate, outbox
from kaspi_delivery_django.services.gate import Admission
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_probe_goes_first(due, turnable):
    """When the pause is over one caller gets through; the others wait for its answer."""
    gate.close(due.delivery, until=turnable.now, reason="429")
    admissions = [gate.admit(due.delivery, turnable.now) for _ in range(3)]
    assert admissions == [Admission.PROBE, Admission.CLOSED, Admission.CLOSED]


def test_a_probe_that_dies_lets_another_try(due, turnable):
    """The probe's lease ends."""
    gate.close(due.delivery, until=turnable.now, reason="429")
    gate.admit(due.delivery, turnable.now)
    assert gate.admit(due.delivery, turnable.now + gate.PROBE_LEASE) is Admission.PROBE


def test_the_rest_follows_spread_out(due, turnable):
    """What waited is spread over half a minute, with jitter."""
    for _ in range(20):
        Order.objects.create()
    gate.open_again(due.delivery, turnable.now)
    assert not ApiCall.objects.filter(next_attempt_at__gt=turnable.now).exists()
    gate.close(due.delivery, until=turnable.now, reason="429")
    gate.open_again(due.delivery, turnable.now)
    times = set(ApiCall.objects.values_list("next_attempt_at", flat=True))
    assert len(times) > 5
    assert max(times) <= turnable.now + gate.SPREAD


def test_a_hundred_refusals_make_one_alert(due, turnable, caplog):
    """401 for every call is one line in the log, not a hundred."""
    for _ in range(100):
        gate.close(due.delivery, until=turnable.now + timedelta(minutes=5), reason="401")
    assert caplog.text.count("gate closed") == 1


def test_a_wrong_key_probes_about_every_five_minutes(kaspi, due, turnable):
    """401: the work waits, and goes by itself once the key is right."""
    kaspi.faults.add(Fault(operation="create", status=401))
    outbox.send(due.pk)
    pause = AccountState.objects.get().closed_until - turnable.now
    assert timedelta(minutes=4) <= pause <= timedelta(minutes=6)
    turnable.turn(minutes=6)
    assert outbox.send(due.pk)
    assert fresh(due).state == "done"


def test_another_account_has_a_gate_of_its_own(due, turnable):
    """One account's pause never touches another's."""
    gate.close(due.delivery, until=turnable.now + timedelta(minutes=5), reason="401")
    due.delivery.account = "almaty"
    assert gate.admit(due.delivery, turnable.now) is Admission.OPEN


def test_a_longer_pause_is_never_shortened(due, turnable):
    """An hour stays an hour, whatever a slower answer says."""
    gate.close(due.delivery, until=turnable.now + timedelta(hours=1), reason="429")
    gate.close(due.delivery, until=turnable.now + timedelta(seconds=2), reason="429")
    assert AccountState.objects.get().closed_until == turnable.now + timedelta(hours=1)


def test_a_probe_that_is_not_sent_is_given_back(due, turnable):
    """A row that is too old to go must not cost the others a minute."""
    gate.close(due.delivery, until=turnable.now, reason="429")
    turnable.turn(hours=25)
    assert not outbox.send(due.pk)
    assert gate.admit(due.delivery, turnable.now) is Admission.PROBE


def test_a_probe_that_is_told_to_wait_waits_as_long_as_kaspi_says(kaspi, due, turnable):
    """Its own lease, which is longer, does not count."""
    gate.close(due.delivery, until=turnable.now, reason="429")
    kaspi.faults.add(Fault(operation="create", status=429, retry_after=5))
    outbox.send(due.pk)
    assert AccountState.objects.get().closed_until == turnable.now + timedelta(seconds=5)


def test_a_probe_without_an_answer_shortens_no_longer_pause(kaspi, due, turnable):
    """Another call, that was under way, was told to wait for an hour."""
    gate.close(due.delivery, until=turnable.now + timedelta(hours=1), reason="429")
    gate.give_back(due.delivery, turnable.now)
    assert AccountState.objects.get().closed_until == turnable.now + timedelta(hours=1)


def test_a_probe_without_an_answer_leaves_the_gate_closed(kaspi, due, turnable):
    """Only Kaspi's answer opens it."""
    gate.close(due.delivery, until=turnable.now, reason="429")
    kaspi.faults.add(Fault(operation="create", latency_s=60))
    outbox.send(due.pk)
    assert gate.admit(due.delivery, turnable.now) is Admission.PROBE
