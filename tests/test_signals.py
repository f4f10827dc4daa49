"""A receiver that raises leaves no customer's data in any log."""

import logging

import pytest
from asgiref.sync import async_to_sync

from kaspi_delivery_django import signals

PHONE = "+7 701 555 0199"
ALL = [getattr(signals, name) for name in vars(signals) if name.islower() and hasattr(getattr(signals, name), "send")]


class Receiver:
    """A receiver that is no function."""

    def __call__(self, **_signal):
        raise ValueError(PHONE)


def receiver(**_signal):
    """Raise with a phone in the text."""
    raise ValueError(PHONE)


async def async_receiver(**_signal):
    """Do the same."""
    raise ValueError(PHONE)


@pytest.mark.parametrize("signal", ALL)
@pytest.mark.parametrize("raising", [receiver, async_receiver, Receiver()], ids=["function", "coroutine", "object"])
def test_the_text_of_a_receivers_error_is_not_logged(signal, raising, monkeypatch, caplog):
    """Its name and the error's are; Django's own line would hold text and frames."""
    assert len(ALL) == 5
    monkeypatch.setattr(signal, "receivers", [])
    signal.connect(raising, weak=False)
    [(_receiver, error)] = signal.send_robust(object)
    [(_receiver, again)] = async_to_sync(signal.asend_robust)(object)
    assert [type(each) for each in (error, again)] == [ValueError] * 2
    assert PHONE not in caplog.text
    assert [(record.levelno, record.exc_info) for record in caplog.records] == [(logging.ERROR, None)] * 2
    assert "ValueError" in caplog.text
