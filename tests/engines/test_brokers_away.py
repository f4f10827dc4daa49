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


@pytest.mark.parametrize(
    ("stop", "go_on"),
    [(brokers.Broker.kill, brokers.Broker.start), (brokers.Broker.freeze, brokers.Broker.thaw)],
    ids=["killed", "frozen"],
)
def test_rabbitmq_is_away_while_200_orders_are_saved(rabbitmq, open_shop, caplog, stop, go_on):
    """All are saved without an error or a delay, and booked once after it is back. Frozen, it keeps its connections."""
    stage = open_shop("celery", rabbitmq.url)
    stage.start_worker()
    stage.start_beat()
    took = save_orders(200, meanwhile=lambda number: stop(rabbitmq) if number == 60 else None)
    assert Order.objects.count() == 200
    assert max(took) < A_SECOND
    assert "not done after the commit" not in caplog.text
    assert stage.booked_once() < 200
    go_on(rabbitmq)
    stage.wait_until_booked_once(200, patience_s=120)


def test_redis_that_forgets_everything(redis, open_shop):
    """The messages are gone with it: the sweep finds what is due in the database."""
    stage = open_shop("celery", redis.url)
    took = save_orders(50)
    redis.kill()
    took += save_orders(50)
    redis.start()
    stage.start_worker()
    stage.start_beat()
    stage.wait_until_booked_once(100)
    assert max(took) < A_SECOND


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_broker_that_accepts_and_never_answers(open_shop, scheme):
    """No save waits for it; `kaspi_worker`, which needs no broker, sends what is due."""
    with brokers.mute() as port:
        stage = open_shop("celery", f"{scheme}://127.0.0.1:{port}//")
        took = save_orders(200)
    assert max(took) < A_SECOND
    assert ApiCall.objects.filter(state="due").count() == 200
    stage.start("django", "kaspi_worker", "--once")
    stage.wait_until_booked_once(200)


def test_a_broker_that_falls_silent_is_given_up(broker, open_shop, monkeypatch):
    """The thread that publishes waits some seconds, not for ever."""
    monkeypatch.setattr(runner, "BROKER_TIMEOUT_S", 0.5)
    open_shop("celery", broker.url)
    task = runner.send_call.app.tasks[runner.send_call.name]
    connected = runner._connected(task)
    with pytest.raises((OSError, OperationalError)), connected as connection, broker.frozen():
        task.apply_async((1,), connection=connection, retry=False)
