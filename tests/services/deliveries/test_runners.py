"""When the inline runner makes the first attempt: never in a receiver, never too early."""

import pytest
from django.core.signals import request_finished, request_started
from django.db import transaction

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.services.deliveries import runners
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def inline(settings, kaspi):
    """Use the default runner."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}


def test_an_order_in_a_transaction_is_sent_at_its_commit(kaspi):
    """With everything that was written together with it."""
    with transaction.atomic():
        order = Order.objects.create()
        order.lines.create(title="A samovar")
        assert kaspi.requests == []
    [remote] = kaspi.deliveries.values()
    assert remote.request["parcel"]["description"] == "A samovar"


def test_an_order_that_is_rolled_back_is_never_heard_of(kaspi):
    """Promise 4."""
    with transaction.atomic():
        Order.objects.create()
        transaction.set_rollback(True)
    assert kaspi.requests == []
    assert not ApiCall.objects.exists()


def test_an_order_without_a_transaction_is_sent_when_the_request_is_finished(kaspi):
    """Not inside the save: the view writes the order's lines after it."""
    request_started.send(sender=None)
    order = Order.objects.create()
    assert kaspi.requests == []
    order.lines.create(title="A samovar")
    request_finished.send(sender=None)
    [remote] = kaspi.deliveries.values()
    assert remote.request["parcel"]["description"] == "A samovar"


def test_outside_of_a_request_it_is_left_to_the_worker(kaspi, drain):
    """A script in autocommit makes no request inside its save."""
    Order.objects.create()
    assert kaspi.requests == []
    drain()
    assert len(kaspi.deliveries) == 1


def lines_of(caplog):
    """Return what was logged of who sends, with its level."""
    said = [record for record in caplog.records if "kaspi_worker will send it" in record.getMessage()]
    return [record.levelname for record in said]


@pytest.mark.parametrize(("runner", "level"), [("inline", "WARNING"), ("worker", "INFO")])
def test_outside_of_a_request_one_line_names_the_sender(settings, caplog, runner, level):
    """Once per process, however many orders a shell saves."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": runner}
    runners._log_once.cache_clear()
    with caplog.at_level("INFO"):
        for _ in range(3):
            Order.objects.create()
    assert lines_of(caplog) == [level]


@pytest.mark.parametrize("runner", ["inline", "worker"])
def test_in_a_request_no_line_is_needed(settings, caplog, runner):
    """The shop has chosen who sends there."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": runner}
    runners._log_once.cache_clear()
    request_started.send(sender=None)
    with caplog.at_level("INFO"):
        Order.objects.create()
    request_finished.send(sender=None)
    assert lines_of(caplog) == []


def test_what_is_sent_at_the_commit_needs_no_line(caplog):
    """This process sends it."""
    runners._log_once.cache_clear()
    with transaction.atomic():
        Order.objects.create()
    assert lines_of(caplog) == []


def test_one_request_does_not_send_what_another_made_due(kaspi):
    """What is held ends with its request."""
    request_started.send(sender=None)
    request_finished.send(sender=None)
    Order.objects.create()
    request_started.send(sender=None)
    request_finished.send(sender=None)
    assert kaspi.requests == []


def test_trouble_after_the_answer_is_only_logged(monkeypatch, caplog):
    """The request is over; the row is still due."""
    request_started.send(sender=None)
    Order.objects.create()
    monkeypatch.setattr("kaspi_delivery_django.services.outbox.sender.send_inline", None)
    request_finished.send(sender=None)
    assert "not done after the commit" in caplog.text
    assert ApiCall.objects.get().state == "due"


def test_trouble_at_the_commit_is_not_the_shops(monkeypatch, caplog):
    """The order is committed; the shop's own hooks run; the log has no customer's data."""

    def fail(call_pk):
        raise ValueError("+7 701 999 8877")

    monkeypatch.setattr("kaspi_delivery_django.services.outbox.sender.send_inline", fail)
    ran = []
    with transaction.atomic():
        Order.objects.create()
        transaction.on_commit(lambda: ran.append(True))
    assert ran
    assert "ValueError" in caplog.text
    assert "999 8877" not in caplog.text


@pytest.mark.parametrize("runner", ["worker", "celery", "django_tasks", "no such runner"])
def test_loading_a_runner_never_breaks_the_start(settings, runner):
    """Whatever is wrong with it, the checks say."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": runner}
    runners.load_runner()


def test_a_runner_that_is_not_installed_costs_no_order(monkeypatch, settings, caplog):
    """The row is there, due, and the log says what is missing."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "celery"}
    monkeypatch.setitem(runners.RUNNERS, "celery", "no_such_package.nudge")
    runners.load_runner()
    with transaction.atomic():
        Order.objects.create()
    assert "ModuleNotFoundError" in caplog.text
    assert ApiCall.objects.get().state == "due"
