"""Errors of other code are described in one line of the log, without data."""

import linecache
import logging
from unittest.mock import Mock

import pytest

from kaspi_delivery_django import receivers
from kaspi_delivery_django.client.exceptions import UsageError
from kaspi_delivery_django.services.deliveries import booking, payloads
from kaspi_delivery_django.services.errors import AdapterFailed, describe, one_line
from kaspi_delivery_django.services.maintenance import backfill
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

FORGED = "742\nERROR delivered: order=1\r\x1b[31m\u2028\x00"
BREAKS = ("\n", "\r", "\x1b", "\u2028", "\x00")


def test_one_line_escapes_control_characters_only():
    """Letters of all languages are kept."""
    assert one_line("заказ № 742") == "заказ № 742"
    assert one_line("a\nb\tc\u2028d") == "a\\nb\\tc\\u2028d"
    assert one_line(742) == "742"


def caught(code, name):
    """Run code of a file of this name; return what it raised."""
    try:
        exec(compile(code, name, "exec"), {"UsageError": UsageError})  # no file can have every name
    except Exception as err:  # noqa: BLE001  # whatever it is
        return err
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("code", ["1 / 0", f"raise UsageError({FORGED!r})"])
def test_a_description_is_one_line(code):
    """For any name of a file and any text."""
    described = describe(caught(code, f"shop{FORGED}.py".replace("\0", "")))
    assert not [sign for sign in BREAKS if sign in described]
    linecache.clearcache()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["flagged", "no reason", "not enqueued", "not followed"])
def test_no_key_of_an_order_forges_a_line(caplog, monkeypatch, step):
    """The shop's customers may choose any text as a key."""
    order, adapter, fail = Order.objects.create(), OrderAdapter(), Mock(side_effect=ValueError("the adapter's own"))
    monkeypatch.setattr(OrderAdapter, "cancel_reason", fail)
    monkeypatch.setattr(Order, "pk", FORGED)
    if step == "flagged":
        monkeypatch.setattr(booking.identities, "deliveries_as", fail)
        monkeypatch.setattr(booking.identities, "object_id_of", lambda _order: FORGED)
        with pytest.raises(ValueError, match="own"):
            booking.flag_adapter_failure(adapter, order, AdapterFailed("it fails"))
    elif step == "no reason":
        assert payloads.cancel_reason_of(order) == ""
    elif step == "not followed":
        monkeypatch.setattr(receivers.orders, "follow_order", fail)
        receivers.order_saved(Order, order, "default")
    else:
        monkeypatch.setattr(backfill, "_book", fail)
        assert backfill._process(adapter, FORGED, dry_run=False) == "failed"
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert any("742" in line for line in lines)
    assert not [line for line in lines for sign in BREAKS if sign in line]
