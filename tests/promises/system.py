"""The whole system in one process: the shop, its workers, Kaspi and the post, on one clock."""

import copy
import logging
from contextlib import ExitStack, contextmanager

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connection
from django.test import Client, override_settings
from django.utils import timezone, translation

from kaspi_delivery_django.models import (
    AccountState,
    ApiCall,
    Delivery,
    FailedAttempt,
    PendingAction,
    StatusChange,
    WebhookEvent,
)
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import Courier
from kaspi_delivery_django.sandbox.webhooks import sign
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.outbox import sender
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.statuses import DELIVERED, STATUSES
from tests.conftest import WEBHOOK_URL, FakeClock
from tests.promises.shop import listening
from tests.promises.witness import Journal, Witness
from tests.shop.models import AppOrder, GiftOrder, Line, Order
from tests.shop.spellings import MODELS, key_of, order_in

API_KEYS = tuple(f"api-key-number-{number}" for number in range(5))
SECRETS = tuple(f"a-webhook-secret-of-thirty-two-chars-number-{number}" for number in range(5))
TABLES = (
    PendingAction,
    FailedAttempt,
    StatusChange,
    WebhookEvent,
    ApiCall,
    Delivery,
    AccountState,
    Line,
    GiftOrder,
    Order,
    AppOrder,
)
WITHOUT_NUMBERS = (GiftOrder, AppOrder)


class System:
    """One run's shop, Kaspi and network, and the notes that the promises are read from."""

    def __init__(self):
        self.clock = FakeClock()
        self.kaspi = FakeKaspi(
            api_key=API_KEYS[0],
            webhook_secret=SECRETS[0],
            webhook_url=WEBHOOK_URL,
            clock=self.clock.timestamp,
            seed=1,
        )
        self.witness = Witness(self.kaspi, self.clock, self.word_of)
        self.journal = Journal()
        self.client = Client()
        self.held, self.acknowledged, self.answered, self.costs = [], set(), [], []
        self.words_of_unsent = {}
        self.rolled_back, self.notified, self.wrongly_absent, self.fickle = set(), set(), set(), set()
        self.edited, self.sent_by_staff, self.cancelled_by_staff = set(), set(), set()
        self.names, self.sends_inline = {}, False
        self.orders_made, self.workers_are_awake = 0, False
        self._spoken = []
        self._stack = ExitStack()

    def open(self, **options):
        empty_tables()
        enter = self._stack.enter_context
        enter(clock.replaced(lambda: self.clock.now))
        enter(override_settings(KASPI_DELIVERY=copy.deepcopy(settings.KASPI_DELIVERY)))
        enter(sender.transport(self.witness))
        enter(listening(self.notified))
        enter(self._journalled())
        self.configure(
            API_KEY=API_KEYS[0],
            WEBHOOK_SECRETS=[SECRETS[0]],
            ORDER_ADAPTERS=["tests.promises.shop.MoodyAdapter", "tests.promises.shop.MoodyAppAdapter"],
            **options,
        )

    def close(self):
        self._stack.close()
        translation.deactivate()
        timezone.deactivate()

    def configure(self, **changes):
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **changes}

    @contextmanager
    def work(self):
        self.witness.is_working = True
        try:
            yield
        finally:
            self.witness.is_working = False

    def run_round(self):
        with self.work():
            return Worker(log=lambda _line: None).run_round()

    @property
    def spoken(self):
        """Every webhook that Kaspi has tried to send, lost ones too, the oldest first."""
        known = {event.event_id: event for event in self._spoken}
        known.update({event.event_id: event for event in self.kaspi.webhooks.lost})
        return list(known.values())

    def move_on(self, parcel):
        """Let the courier take one step with a parcel; one that left the route is delivered."""
        if parcel.status in STATUSES:
            Courier(self.kaspi, 0)._move(parcel, self.clock.timestamp())
        else:
            self.kaspi.move(parcel.delivery_id, DELIVERED)

    def next_key(self, model):
        self.orders_made += 1
        return key_of(model, self.orders_made)

    def word_of(self, external_order_id):
        """Return whether the order is paid, and cancelled, as the database has it now; None when it is gone."""
        key = order_in(external_order_id)
        model = MODELS["-" in key]
        row = model.objects.using("default").filter(pk=key)
        return row.values_list("paid", "cancelled").first()

    def deliver_webhooks(self, limit=None):
        """Let Kaspi post what is due into the project, at most `limit` of them."""
        posted = 0
        while limit is None or posted < limit:
            waiting = self.kaspi.webhooks.due(self.clock.timestamp())
            if not waiting:
                return
            self._spoken.append(waiting[0])
            self.kaspi.webhooks.deliver_next(self.clock.timestamp(), self._post)
            posted += 1

    def post_again(self, event):
        """Let Kaspi post an event once more, whatever became of it before."""
        event.attempt += 1
        body, stamp = event.body(), str(int(self.clock.timestamp()))
        self._post(WEBHOOK_URL, signed(self.kaspi.webhooks._secret, stamp, body), body)

    def _post(self, url, headers, body):
        sent = {name: value for name, value in headers.items() if name.startswith("X-")}
        answer = self.client.post(url, body, content_type="application/json", headers=sent)
        self.answered.append((body, answer.status_code))
        return answer.status_code

    @contextmanager
    def _journalled(self):
        logger = logging.getLogger("kaspi_delivery_django")
        level = logger.level
        logger.addHandler(self.journal)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(self.journal)
            logger.setLevel(level)


def signed(secret, stamp, body):
    return {"X-Kaspi-Timestamp": stamp, "X-Kaspi-Signature": sign(secret, stamp, body)}


def empty_tables():
    """Delete every row and count from one again: a run that fails is played again with the same numbers."""
    ContentType.objects.clear_cache()
    counted = [model for model in TABLES if model not in WITHOUT_NUMBERS]
    sequences = [{"table": model._meta.db_table, "column": "id"} for model in counted]
    for model in TABLES:
        model._base_manager.all()._raw_delete("default")
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_by_name_sql(no_style(), sequences):
            cursor.execute(statement)
