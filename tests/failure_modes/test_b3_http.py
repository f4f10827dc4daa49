"""B3: the request itself."""

import pytest
from django.db import DatabaseError, connection

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import KaspiClient, Timeouts, UsageError, protocol
from kaspi_delivery_django.client.http import MAX_BODY_BYTES
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.outbox import results, sender
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_b3_the_deadlines():
    """Connect 5 s, read 10 s, 15 s in all, a body of 1 MiB."""
    assert (Timeouts().connect_s, Timeouts().read_s, Timeouts().total_s) == (5, 10, 15)
    assert MAX_BODY_BYTES == 1 << 20


def test_b3_no_variable_and_no_netrc_changes_who_we_talk_to():
    """And no redirect is followed; the TLS certificate is verified."""
    session = KaspiClient("key")._session
    assert session.trust_env is False
    assert session.verify is True


def test_b3_ids_are_quoted_and_line_breaks_refused():
    """Nothing we are told becomes another path, or another header."""
    assert protocol.get("../v1?x#y").path.startswith("/v1/deliveries/..%2Fv1%3Fx%23y?")
    with pytest.raises(UsageError):
        protocol.check_header("key\r\nX-Evil: 1", "the key")


def test_b3_killed_before_the_commit_the_answer_is_replayed(kaspi, drain, turnable, monkeypatch):
    """Between 201 and commit: the lease ends, the same key goes again, one parcel."""
    Order.objects.create()
    with monkeypatch.context() as killed:
        killed.setattr(results, "record", lambda *_arguments, **_options: 1 / 0)
        drain()
    assert ApiCall.objects.get().state == "sending"
    turnable.turn(seconds=61)
    drain()
    assert len(kaspi.deliveries) == 1
    assert Delivery.objects.get().delivery_id


def test_b3_killed_before_the_commit_the_webhook_may_be_first(kaspi, drain, turnable, monkeypatch, post_webhook):
    """It adopts the delivery."""
    Order.objects.create()
    with monkeypatch.context() as killed:
        killed.setattr(results, "record", lambda *_arguments, **_options: 1 / 0)
        drain()
    [remote] = kaspi.deliveries.values()
    row = Delivery.objects.get()
    row.delivery_id = remote.delivery_id
    assert post_webhook(event(row, "created")).json() == {"status": "applied"}
    assert Delivery.objects.get().delivery_id == remote.delivery_id


def test_b3_a_database_that_is_gone_after_the_answer_leaves_a_line(kaspi, monkeypatch, caplog):
    """With the deliveryId and the row's id: somebody can mend it by hand."""
    Order.objects.create()
    call = ApiCall.objects.get()

    def gone(*_arguments, **_options):
        raise DatabaseError

    monkeypatch.setattr(results, "record", gone)
    with pytest.raises(DatabaseError):
        sender.send(call.pk)
    [remote] = kaspi.deliveries.values()
    assert f"answer not recorded: call={call.pk} delivery_id={remote.delivery_id}" in caplog.text
    assert not connection.in_atomic_block


def test_b3_a_row_of_another_environment_is_never_sent(kaspi, drain):
    """A copied database must not ship from the test system."""
    Order.objects.create()
    Delivery.objects.update(environment="production")
    drain()
    assert kaspi.requests == []
    assert Delivery.objects.get().attention == "configuration_changed"


def test_b3_a_gate_reopens_with_one_probe_and_then_spreads(kaspi, drain, turnable):
    """Not a herd."""
    for _ in range(10):
        Order.objects.create()
    kaspi.faults.add(Fault(status=429, retry_after=60))
    drain()
    turnable.turn(seconds=61)
    drain()
    assert len(kaspi.deliveries) == 1
    waiting = ApiCall.objects.filter(state="due").values_list("next_attempt_at", flat=True)
    assert len(set(waiting)) > 2
    assert max(waiting) > turnable.now


def test_b3_requests_are_capped(settings):
    """Ten in a second and process, unless the shop says otherwise."""
    plain = {key: value for key, value in settings.KASPI_DELIVERY.items() if key != "MAX_REQUESTS_PER_SECOND"}
    assert conf.parse(plain, debug=False).max_requests_per_second == 10
    assert conf.current().max_requests_per_second is None
