"""What many tests use: a fake clock, and a sandbox that answers without sockets."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connections, transaction
from django.test import TransactionTestCase

from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.webhooks import sign
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import run_in_transaction
from kaspi_delivery_django.services.outbox import results, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.views import webhook
from tests import kinds
from tests.shop.models import Order

pytest.register_assert_rewrite("tests.webhook_contract")

PATIENCE_S = 120  # for an event that must come, on a slow and busy machine; no test waits so long that passes
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WEBHOOK_URL = "/kaspi/webhook/"


def pytest_addoption(parser):
    """Take the choice of `python -m tests` for the second and each further engine."""
    parser.addoption("--engine-only", action="store_true", help="leave out the tests that no engine can change")


def pytest_collection_modifyitems(config, items):
    """Mark what takes long by its kind; leave out what another engine's run has shown already."""
    left_out = []
    for item in items:
        if kind := kinds.kind_of(item.path):
            item.add_marker(kind)
        if config.getoption("engine_only") and not kinds.depends_on_engine(item, kind):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        chosen = set(items) - set(left_out)
        items[:] = [item for item in items if item in chosen]


class FakeClock:
    """A clock that stands still until it is advanced."""

    def __init__(self):
        self.now = NOON

    def advance(self, **by):
        """Go forward, or back, by a timedelta's arguments."""
        self.now += timedelta(**by)

    def timestamp(self):
        """Return the Unix seconds."""
        return self.now.timestamp()


@pytest.fixture(autouse=True, scope="session")
def _empty_tables_fast():
    """Empty the tables after a test with transactions, but for what `migrate` writes.

    Django's own way truncates every table and creates the content types and permissions again: ten times as slow.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_tables_of)
        patch.setattr(TransactionTestCase, "_should_reload_connections", lambda _case: False)
        yield


WRITTEN_BY_MIGRATE = {"auth_permission", "django_content_type", "django_migrations"}


def empty_tables_of(case):
    """Empty what a case of Django's may write to."""
    empty_tables(case._databases_names(include_mirrors=False))


def empty_tables(aliases):
    """Delete the rows of every table; the foreign keys are looked at when all is done."""
    for alias in aliases:
        connection = connections[alias]
        with transaction.atomic(using=alias), connection.constraint_checks_disabled(), connection.cursor() as cursor:
            tables = set(connection.introspection.table_names(cursor)) - WRITTEN_BY_MIGRATE
            texts = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables]
            for text in ["; ".join(texts)] if connection.vendor == "postgresql" else texts:
                cursor.execute(text)


@pytest.fixture(autouse=True)
def _process_starts_over():
    """Let no test see what another has cached, or a log line that the process writes once in a while left out."""
    cache.clear()
    webhook.throttled_log = webhook.ThrottledLog(webhook.logger)


@pytest.fixture
def configure(settings):
    """Change KASPI_DELIVERY by these values, until the end of the test."""

    def change(**values):
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **values}

    return change


@pytest.fixture
def fake_clock():
    """Replace both of the services' clocks; the sandbox of `kaspi` has this one, too."""
    fake = FakeClock()
    with clock.replaced(lambda: fake.now):
        yield fake


@pytest.fixture
def kaspi(fake_clock):
    """Kaspi's sandbox, reached by every call of the services instead of the network."""
    account = django_settings.KASPI_DELIVERY
    kaspi = FakeKaspi(
        api_key=account["API_KEY"],
        webhook_secret=account["WEBHOOK_SECRETS"][0],
        webhook_url=WEBHOOK_URL,
        clock=fake_clock.timestamp,
        seed=1,
        strict=True,
    )
    with sender.transport(SandboxAdapter(kaspi)):
        yield kaspi


@pytest.fixture
def drain(kaspi):
    """Send whatever is due now, as one round of a worker does."""

    def run():
        return Worker(log=lambda _line: None).run_round()

    return run


@pytest.fixture
def post_webhook(client, fake_clock):
    """Post a body to the webhook, signed with the first secret by default."""

    def post(document, *, secret=None, signature=None, url=WEBHOOK_URL):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        stamp = str(int(fake_clock.timestamp()))
        secret = django_settings.KASPI_DELIVERY["WEBHOOK_SECRETS"][0] if secret is None else secret
        return client.post(
            url,
            body,
            content_type="application/json",
            headers={
                "X-Kaspi-Timestamp": stamp,
                "X-Kaspi-Signature": signature or sign(secret, stamp, body),
            },
        )

    return post


@pytest.fixture
def due(kaspi):
    """Return a create that is due, never sent."""
    order = Order.objects.create()
    call = ApiCall.objects.get(delivery__object_id=str(order.pk))
    assert call.state == "due"
    return call


@pytest.fixture
def booked(due):
    """Return a delivery that Kaspi has booked."""
    sender.send(due.pk)
    return Delivery.objects.get(pk=due.delivery_id)


@pytest.fixture
def delivery(fake_clock):
    """Return a delivery that Kaspi has created, as no request of ours has shown."""
    Order.objects.create()
    Delivery.objects.update(delivery_id="dlv_1", status="created", status_at=NOON)
    return Delivery.objects.get()


@pytest.fixture
def refused(due, kaspi, drain):
    """Return a delivery that Kaspi refused to book."""
    kaspi.faults.add(Fault(operation="create", status=422))
    drain()
    return Delivery.objects.get()


@pytest.fixture
def lost(due, kaspi, drain):
    """Return a delivery that Kaspi booked while its answer was lost, and that is no longer retried."""
    kaspi.faults.add(Fault(operation="create", drop="after"))
    drain()
    ApiCall.objects.update(state="stuck", reason="outcome_unknown", next_attempt_at=None)
    Delivery.objects.update(attention="outcome_unknown")
    return Delivery.objects.get()


@pytest.fixture
def dead_letter(booked, post_webhook):
    """Return an event that could not be applied when it came."""
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(state="failed", error="DataError")
    Delivery.objects.update(status="created")
    booked.history.filter(to_status="accepted").delete()
    return WebhookEvent.objects.get()


@pytest.fixture
def deliver_webhooks(kaspi, client, fake_clock):
    """Let the sandbox post its due webhooks into the project; return what became of them."""

    def post(url, headers, body):
        sent = {name: value for name, value in headers.items() if name.startswith("X-")}
        return client.post(url, body, content_type="application/json", headers=sent).status_code

    return lambda: kaspi.webhooks.deliver_due(fake_clock.timestamp(), post)


@pytest.fixture
def at_once():
    """Run the work in so many threads behind one barrier; return what each returned, or raised."""

    def run(*works):
        barrier = threading.Barrier(len(works), timeout=PATIENCE_S)

        def start(work):
            try:
                barrier.wait()
                return work()
            except Exception as err:  # noqa: BLE001  # the test looks at it
                return err
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(works)) as pool:
            return list(pool.map(start, works))

    return run


def event(delivery, status, *, event_id="wh_1", at=NOON, **changes):
    """Return a webhook's document about a delivery."""
    data = {
        "deliveryId": delivery.delivery_id,
        "externalOrderId": delivery.external_order_id,
        "status": status,
        "timestamp": at.isoformat().replace("+00:00", "Z"),
    }
    document = {"eventId": event_id, "type": f"delivery.{status}", "attempt": 1, "data": data}
    return {**document, **changes}


def record_late(claim, answer):
    """Record an answer of Kaspi's later than its sender would."""
    run_in_transaction(lambda: results.record(claim, answer, 0.5))
