"""The statements of a create when calls are sent one by one: `--threads 1`, inline and task runners."""

import re

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.services.outbox import clients, plain_bookings, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

SQLITE_LOCKS = 0 if connection.features.has_select_for_update else 2
MAX_STATEMENTS = 12
TRANSACTIONS = 4  # the begin and the end of two
SENDERS = {
    "outbox": sender.send,
    "inline": sender.send_inline,
    "task": lambda pk: Worker(log=lambda _line: None).send(pk),
}


def listen(**_kwargs):
    """Do nothing."""


def counted(send):
    """Send an order's create; return all its statements, and those inside transactions."""
    ContentType.objects.get_for_model(Order)
    call = ApiCall.objects.get(delivery__object_id=str(Order.objects.create().pk))
    with CaptureQueriesContext(connection) as captured:
        send(call.pk)
    assert ApiCall.objects.get(pk=call.pk).state == "done"
    everything = [query["sql"] for query in captured]
    own = re.compile(r"BEGIN|START TRANSACTION|COMMIT|SET ", re.IGNORECASE)
    return everything, [sql for sql in everything if not own.match(sql)]


@pytest.fixture(params=[False, True], ids=["no receivers", "a receiver"])
def receivers(request, monkeypatch):
    """Disconnect the shop's receivers, or connect one."""
    for signal in (delivery_created, delivery_status_changed):
        monkeypatch.setattr(signal, "receivers", [])
    if request.param:
        delivery_status_changed.connect(listen)
    return int(request.param)


@pytest.mark.parametrize("send", SENDERS.values(), ids=SENDERS.keys())
def test_a_create_takes_twelve_statements_at_most(kaspi, receivers, send):
    """With the adapter's own query and its savepoint; a receiver costs one more."""
    everything, working = counted(send)
    assert len(working) <= MAX_STATEMENTS - 1 + receivers + SQLITE_LOCKS, working
    assert len(everything) <= len(working) + TRANSACTIONS


def test_the_clocks_cost_no_statement(receivers):
    """They are read with the rows, as no test replaces them here."""
    account = settings.KASPI_DELIVERY
    kaspi = FakeKaspi(api_key=account["API_KEY"], webhook_secret=account["WEBHOOK_SECRETS"][0])
    with clients.transport(SandboxAdapter(kaspi)):
        _everything, working = counted(sender.send)
    assert len(working) <= MAX_STATEMENTS - 1 + receivers + SQLITE_LOCKS, working


@pytest.mark.parametrize("err", [IntegrityError, plain_bookings.ClaimsLost])
def test_an_outcome_that_is_not_plain_is_recorded_by_all_rules(kaspi, due, monkeypatch, err):
    """Whatever fails in the short way, the long one records the answer."""

    def broken(_bookings, _using):
        raise err

    monkeypatch.setattr(plain_bookings, "record_locked", broken)
    assert sender.send(due.pk)
    assert Delivery.objects.get().delivery_id
