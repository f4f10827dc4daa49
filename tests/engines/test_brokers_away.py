"""A broker that is dead, mute, frozen or forgetful costs no save a second, and no order its booking."""

import pytest
from kombu.exceptions import OperationalError

from kaspi_delivery_django.contrib import celery as runner
from kaspi_delivery_django.models import ApiCall
from tests.engines import brokers
from tests.engines.shopping import save_orders
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

A_SECOND = 1.0


def test_rabbitmq_killed_while_200_orders_are_saved(rabbitmq, open_shop, caplog):
    """All are saved without an error and without delay, and booked once after it is back."""
    stage = open_shop("celery", rabbitmq.url)
    stage.start_worker()
    stage.start_beat()
    took = save_orders(200, meanwhile=lambda number: rabbitmq.kill() if number == 60 else None)
    assert Order.objects.count() == 200
    assert max(took) < A_SECOND
    assert "not done after the commit" not in caplog.text
    assert stage.booked_once() < 200
    rabbitmq.start()
    stage.wait_until_booked(200, patience_s=120)
    assert stage.booked_once() == 200


def test_rabbitmq_frozen_while_200_orders_are_saved(rabbitmq, open_shop):
    """It keeps its connections and answers none; what comes later makes up for it."""
    stage = open_shop("celery", rabbitmq.url)
    stage.start_worker()
    stage.start_beat()
    took = save_orders(200, meanwhile=lambda number: rabbitmq.freeze() if number == 60 else None)
    assert max(took) < A_SECOND
    rabbitmq.thaw()
    stage.wait_until_booked(200, patience_s=120)
    assert stage.booked_once() == 200


def test_redis_that_forgets_everything(redis, open_shop):
    """The messages are gone with it: the sweep finds what is due in the database."""
    stage = open_shop("celery", redis.url)
    took = save_orders(50)
    redis.kill()
    took += save_orders(50)
    redis.start()
    stage.start_worker()
    stage.start_beat()
    stage.wait_until_booked(100)
    assert max(took) < A_SECOND
    assert stage.booked_once() == 100


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_broker_that_accepts_and_never_answers(open_shop, scheme):
    """No save waits for it; `kaspi_worker`, which needs no broker, sends what is due."""
    with brokers.mute() as port:
        stage = open_shop("celery", f"{scheme}://127.0.0.1:{port}//")
        took = save_orders(200)
    assert max(took) < A_SECOND
    assert ApiCall.objects.filter(state="due").count() == 200
    stage.start("django", "kaspi_worker", "--once")
    stage.wait_until_booked(200)
    assert stage.booked_once() == 200


def test_a_broker_that_falls_silent_is_given_up(broker, open_shop, monkeypatch):
    """The thread that publishes waits some seconds, not for ever."""
    monkeypatch.setattr(runner, "BROKER_TIMEOUT_S", 0.5)
    open_shop("celery", broker.url)
    task = runner.send_call.app.tasks[runner.send_call.name]
    connected = runner._connected(task)
    with pytest.raises((OSError, OperationalError)), connected as connection, broker.frozen():
        task.apply_async((1,), connection=connection, retry=False)
