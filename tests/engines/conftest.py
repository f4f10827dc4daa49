"""A shop whose runner is a task queue, before brokers that are its own.

Without Celery, its Redis client, RabbitMQ or Redis these tests are skipped; with KASPI_BROKERS=required they fail then.
"""

import os
import signal
from contextlib import ExitStack
from importlib.util import find_spec

import pytest
from celery import Celery, _state

from kaspi_delivery_django.contrib import celery as runner
from tests.engines import brokers
from tests.engines.stage import Stage

NEEDED = ("redis", "django_tasks_db", "psutil")


def missing():
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        return f"not installed: {', '.join(absent)} (tox run -e engines)"
    return brokers.missing()


@pytest.fixture(scope="package", autouse=True)
def _needed():
    if reason := missing():
        (pytest.fail if os.environ.get("KASPI_BROKERS") == "required" else pytest.skip)(reason)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends us ends what we have started
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="package")
def rabbitmq(_needed, tmp_path_factory):
    """A RabbitMQ of our own."""
    yield from _running(brokers.RabbitMQ(tmp_path_factory.mktemp("rabbitmq")))


@pytest.fixture(scope="package")
def redis(_needed, tmp_path_factory):
    """A Redis of our own."""
    yield from _running(brokers.Redis(tmp_path_factory.mktemp("redis")))


@pytest.fixture(params=["rabbitmq", "redis"])
def broker(request):
    """Each broker in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def open_shop(settings):
    """Return what makes this process the web server of a shop with that runner and broker, and gives its stage."""
    before = _state.default_app, _state._tls.current_app
    with ExitStack() as until_closed:

        def open_shop(runner, broker_url=""):
            Celery("shop", broker=broker_url).set_default()
            settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": runner}
            return until_closed.enter_context(Stage(runner, broker_url))

        yield open_shop
        forget_unpublished()
    _state.set_default_app(before[0])
    _state._set_current_app(before[1])


def forget_unpublished():
    """Let this process forget the calls that it could not publish to a broker that never came back."""
    publisher = runner._publisher(os.getpid(), runner.send_call.app.tasks[runner.send_call.name])
    with publisher._changed:
        publisher._calls.clear()


def _running(broker):
    broker.start()
    yield broker
    broker.kill()
