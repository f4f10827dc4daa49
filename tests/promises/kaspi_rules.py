"""What Kaspi does: it books, moves, fails, forgets and repeats itself; and time passes."""

from unittest import mock

from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis.stateful import initialize, precondition, rule
from hypothesis.strategies import lists, sampled_from, tuples

from kaspi_delivery_django.sandbox.defaults import WEBHOOK_SECRET
from kaspi_delivery_django.sandbox.deliveries import CANCELLABLE
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.deliveries import events
from kaspi_delivery_django.statuses import STATUSES
from tests.conftest import WEBHOOK_URL
from tests.promises.faults import DOUBTS, FAULTS
from tests.promises.system import API_KEYS, SECRETS, signed

WHICH = sampled_from(range(4))
OPERATIONS = sampled_from(["create", "create", None, "cancel", "get"])


def has_post(machine):
    system = machine.system
    return bool(system.kaspi.webhooks.due(system.clock.timestamp()))


def has_parcels(machine):
    return bool(machine.system.kaspi.deliveries)


class KaspiRules:
    @initialize(faults=lists(tuples(sampled_from(list(DOUBTS)), sampled_from([1, 1, 2, None])), min_size=2, max_size=5))
    def first_bookings_are_in_doubt(self, faults):
        """Kaspi has had better days."""
        for name, times in faults:
            self.system.kaspi.faults.add(Fault(operation="create", times=times, **DOUBTS[name]))

    @rule(name=sampled_from(list(FAULTS)), operation=OPERATIONS, times=sampled_from([1, 1, 2, 4]))
    def kaspi_fails(self, name, operation, times):
        """The next calls go wrong."""
        self.system.kaspi.faults.add(Fault(operation=operation, times=times, **FAULTS[name]))

    @precondition(lambda self: len(self.system.kaspi.faults))
    @rule()
    def kaspi_recovers(self):
        """Nothing goes wrong from now on."""
        self.system.kaspi.faults.clear()

    @precondition(has_parcels)
    @rule(which=WHICH)
    def courier_moves_a_parcel(self, which):
        """One step, or the cancel that it received."""
        self.system.move_on(self._parcel(which))

    @precondition(has_parcels)
    @rule(which=WHICH, status=sampled_from(["cancelled", "cancelled", *STATUSES, "returning"]))
    def kaspi_changes_its_mind(self, which, status):
        """It cancels, which it may; or anything becomes anything, and its updates contradict each other."""
        parcel = self._parcel(which)
        if status != "cancelled" or parcel.status not in CANCELLABLE:
            self.system.fickle.add(parcel.delivery_id)
        self.system.kaspi.move(parcel.delivery_id, status)

    @precondition(has_post)
    @rule(limit=sampled_from([1, None]))
    def webhooks_arrive(self, limit):
        """As many as Kaspi gets round to."""
        self.system.deliver_webhooks(limit)

    @precondition(has_post)
    @rule()
    def webhook_meets_a_bug(self):
        """Applying the next one fails in our own code: it is kept, and staff can replay it."""
        with mock.patch.object(events, "apply", side_effect=ZeroDivisionError):
            self.system.deliver_webhooks(1)

    @rule(
        trouble=sampled_from(
            [{}, {"lose": 5}, {"duplicate": True}, {"reorder": 3}, {"delay_s": 90.0}, {"delay_s": 9e4}]
        )
    )
    def post_changes(self, trouble):
        """From now on webhooks arrive; or they are lost, doubled, turned round, or late."""
        for name, value in {"lose": 0, "duplicate": False, "reorder": 0, "delay_s": 0.0, **trouble}.items():
            setattr(self.system.kaspi.webhooks, name, value)

    @precondition(lambda self: self.system.spoken)
    @rule(which=sampled_from(range(12)))
    def kaspi_repeats_itself(self, which):
        """An old webhook comes again, or one that was lost comes after all."""
        spoken = self.system.spoken
        self.system.post_again(spoken[which % len(spoken)])

    @rule(key=sampled_from(range(2)), disabled=sampled_from([False, False, True]), secret=sampled_from(range(2)))
    def kaspi_reconfigured(self, key, disabled, secret):
        """Calls with another key are answered 401, or 403; the shop may not know the secret yet."""
        kaspi = self.system.kaspi
        kaspi.api_key, kaspi.webhooks._secret = API_KEYS[key], SECRETS[secret]
        kaspi.disabled_keys = {API_KEYS[key]} if disabled else set()
        kaspi.cancel_is_slow = bool(secret)

    @rule(is_signed=sampled_from([True, False]))
    def stranger_posts(self, is_signed):
        """Without a signature, or with one by a secret that is public. Kaspi posts a test at that time."""
        data = {"deliveryId": "dlv_test", "externalOrderId": "test", "status": "created"}
        self.system.kaspi.webhooks.queue(WEBHOOK_URL, "delivery.created" if is_signed else "courier.assigned", data)
        stamp = str(int(self.system.clock.timestamp()))
        headers = signed(WEBHOOK_SECRET, stamp, b"{}") if is_signed else {}
        requests = len(self.system.witness.seen)
        with CaptureQueriesContext(connection) as queries:
            answer = self.system.client.post(WEBHOOK_URL, b"{}", content_type="application/json", headers=headers)
        cost = (answer.status_code, len(queries), len(self.system.witness.seen) - requests)
        self.system.costs.append(cost)

    def _parcel(self, which):
        parcels = list(self.system.kaspi.deliveries.values())
        return parcels[which % len(parcels)]
