"""What a test does with Kaspi, inside the test's transaction and outside of one."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.test import TestCase, override_settings
from django.urls import include, path
from django.views.decorators.csrf import csrf_protect

from kaspi_delivery_django.client import PRODUCTION_URL, KaspiClient
from kaspi_delivery_django.client.exceptions import ConfigurationFault
from kaspi_delivery_django.models import StatusChange, WebhookEvent
from kaspi_delivery_django.services import cancel_delivery
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from kaspi_delivery_django.testing import Fault
from kaspi_delivery_django.testing.environment import committed
from kaspi_delivery_django.views import WebhookView
from tests.conftest import PATIENCE_S
from tests.shop.models import Order


@csrf_protect
def protected(request):
    """Ask for a token first, as a shop that wraps the view may do by mistake."""
    return WebhookView.as_view()(request)


urlpatterns = [path("kaspi/", include(([path("webhook/", protected, name="webhook")], "kaspi_delivery")))]

LIFE = ["created", "accepted", "in_transit", "out_for_delivery", "delivered"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(kaspi):
    """A paid order, saved inside of the sandbox."""
    return Order.objects.create()


@pytest.fixture
def heard():
    """The statuses that a shop's receiver was told of."""
    told = []

    def listen(change, **_kwargs):
        told.append(change.to_status)

    delivery_status_changed.connect(listen)
    yield told
    delivery_status_changed.disconnect(listen)


def test_an_order_is_delivered(kaspi, order):
    """One line takes an order from the save to the customer's door."""
    assert kaspi.deliver(order).status == "delivered"
    assert [entry["status"] for entry in kaspi.booking_of(order).history] == LIFE


def test_what_was_heard_before_an_error_is_not_heard_again(heard, order, kaspi):
    """The test goes on after it, and its capture runs the rest."""

    def fail():
        with committed():
            transaction.on_commit(lambda: heard.append("once"))
            raise ZeroDivisionError

    with TestCase.captureOnCommitCallbacks(execute=True), pytest.raises(ZeroDivisionError):
        fail()
    assert heard.count("once") <= 1


def test_the_shop_hears_of_every_step_inside_of_a_test_case(kaspi, order, heard):
    """Signals are sent although the test's transaction is never committed."""
    kaspi.deliver(order)
    assert heard == LIFE


@pytest.mark.django_db(transaction=True)
def test_the_shop_hears_of_every_step_when_commits_are_real(kaspi, order, heard):
    """The same, once each."""
    kaspi.deliver(order)
    assert heard == LIFE


def test_what_was_heard_is_not_heard_again(kaspi, order, heard):
    """A capture around the whole does not run what the sandbox ran already."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        kaspi.deliver(order)
    assert heard == LIFE


def test_an_order_is_taken_to_a_status_on_the_way(kaspi, order):
    """`until` ends the walk, and a second call goes on from there."""
    assert kaspi.deliver(order, until="in_transit").status == "in_transit"
    assert kaspi.deliver(order).status == "delivered"


def test_an_order_is_not_taken_backwards(kaspi, order):
    """What cannot become what is asked for is an error that says so."""
    kaspi.deliver(order)
    with pytest.raises(AssertionError, match="it is delivered at Kaspi, and cannot become accepted"):
        kaspi.deliver(order, until="accepted")


def test_there_is_no_way_to_a_word_that_kaspi_does_not_have(kaspi, order):
    """A mistyped status is refused before anything is sent."""
    with pytest.raises(ValueError, match="until must be one of created, accepted"):
        kaspi.deliver(order, until="deliverd")
    assert kaspi.requests == []


def test_nothing_is_sent_before_the_test_says_so(kaspi, order):
    """A save makes a call due, and `send_due` says how many requests it made."""
    assert kaspi.requests == []
    assert (kaspi.send_due(), kaspi.send_due()) == (1, 0)


def test_a_parcel_is_moved(kaspi, order):
    """A status is given at Kaspi, and the webhook about it goes through the real view."""
    kaspi.send_due()
    delivery = kaspi.move(order, "accepted", notes="Ruslan")
    assert delivery.status == "accepted"
    assert kaspi.booking_of(order).history[-1]["notes"] == "Ruslan"
    assert delivery.events.get(type="delivery.accepted").state == "applied"


def test_a_delivery_will_do_for_an_order(kaspi, order):
    """Whoever has the delivery at hand needs no order."""
    delivery = kaspi.deliver(order, until="created")
    assert kaspi.move(delivery, "accepted").pk == delivery.pk


def test_a_parcel_that_is_not_booked_cannot_be_moved(kaspi, order):
    """The error says what is missing."""
    with pytest.raises(AssertionError, match="Kaspi has 0 deliveries of it"):
        kaspi.move(order, "accepted")


def test_a_webhook_of_ones_own(kaspi, order):
    """It is signed, goes through the view, and takes effect."""
    kaspi.send_due()
    assert kaspi.webhook(order, "accepted").json() == {"status": "applied"}
    kaspi.assert_status(order, "accepted")


def test_the_same_event_twice(kaspi, order):
    """A second attempt is the same event, however much later it comes, and takes effect once."""
    kaspi.send_due()
    for _ in range(2):
        assert kaspi.webhook(order, "accepted", event_id="wh_1").status_code == 200
        kaspi.later(minutes=1)
    event = WebhookEvent.objects.get(event_id="wh_1")
    assert (event.state, event.received_count, event.attempt) == ("applied", 2, 2)


def test_a_forged_webhook_is_refused(kaspi, order):
    """The real view looks at the signature."""
    kaspi.send_due()
    assert kaspi.webhook(order, "delivered", secret="x" * 32).status_code == 401
    kaspi.assert_status(order, "created")


def test_an_old_webhook_is_refused(kaspi, order):
    """The real view looks at the time stamp."""
    kaspi.send_due()
    assert kaspi.webhook(order, "delivered", signed_at=kaspi.now() - timedelta(minutes=6)).status_code == 401


def test_a_webhook_before_the_answer(kaspi, order):
    """News of a booking whose answer was lost has the id that Kaspi gave it."""
    kaspi.time_out_next("create")
    kaspi.send_due()
    kaspi.webhook(order, "created")
    kaspi.assert_booked_once(order)


def test_a_webhook_about_what_kaspi_has_not_booked(kaspi, order):
    """The view takes it; what it means is for the package to say."""
    assert kaspi.webhook(order, "created").status_code == 200


def test_a_webhook_that_never_comes(kaspi, order):
    """The sandbox loses one; an hour later the package has asked Kaspi."""
    kaspi.send_due()
    kaspi.fakes["default"].webhooks.lose = 1
    kaspi.move(order, "accepted")
    kaspi.assert_status(order, "created")
    kaspi.later(hours=1)
    kaspi.send_due()
    kaspi.assert_status(order, "accepted")


def test_an_error_is_tried_again_later(kaspi, order):
    """A 503 leaves the order waiting; the clock is turned, and nobody sleeps."""
    kaspi.fail_next("create", status=503)
    assert (kaspi.send_due(), kaspi.send_due()) == (1, 0)
    kaspi.assert_not_booked(order)
    kaspi.later(minutes=1)
    kaspi.send_due()
    kaspi.assert_booked_once(order)


def test_a_pause_that_kaspi_asks_for_is_kept(kaspi, order):
    """After a 429 nothing is sent until its time is over."""
    kaspi.fail_next("create", status=429, retry_after=600)
    kaspi.send_due()
    kaspi.later(minutes=9)
    assert kaspi.send_due() == 0
    kaspi.later(minutes=2)
    assert kaspi.send_due() == 1


@pytest.mark.parametrize("goes_wrong", ["time_out_next", "drop_next"])
def test_an_answer_that_is_lost_books_nothing_twice(kaspi, order, goes_wrong):
    """Kaspi has booked it, the shop does not know: the same key finds it again."""
    getattr(kaspi, goes_wrong)("create", **({"acted": True} if goes_wrong == "drop_next" else {}))
    kaspi.send_due()
    assert (kaspi.delivery_of(order).delivery_id, len(kaspi.bookings_of(order))) == (None, 1)
    kaspi.later(minutes=1)
    kaspi.send_due()
    kaspi.assert_booked_once(order)


def test_a_connection_that_breaks_before_kaspi_acts(kaspi, order):
    """Nothing is booked then."""
    kaspi.drop_next("create")
    kaspi.send_due()
    kaspi.assert_not_booked(order)


def test_faults_are_cleared(kaspi, order):
    """One that hits every call hits none any more."""
    kaspi.add_fault(Fault(operation="create", status=503, times=None))
    kaspi.clear_faults()
    kaspi.send_due()
    kaspi.assert_booked_once(order)


def test_a_fault_needs_an_account_that_there_is(kaspi):
    """A mistyped account is refused."""
    with pytest.raises(ValueError, match="Name the account: default"):
        kaspi.fail_next("create", status=503, account="almati")


def test_time_goes_forward_only(kaspi):
    """Kaspi's stamps would make nonsense otherwise."""
    with pytest.raises(ValueError, match="forward"):
        kaspi.later(minutes=-1)


def test_the_time_runs(kaspi):
    """The clock is turned, not stopped: rows of the shop's own stay in order."""
    before = kaspi.now()
    kaspi.later(hours=3)
    assert timedelta(hours=3) <= kaspi.now() - before < timedelta(hours=4)


def test_a_frozen_time_is_honoured(kaspi, monkeypatch):
    """A shop that freezes Django's clock, at any date, has its orders booked and its webhooks taken."""
    then = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
    monkeypatch.setattr("django.utils.timezone.now", lambda: then)
    frozen = Order.objects.create()
    assert kaspi.deliver(frozen).status_at == then
    kaspi.assert_up_to_date(frozen)


def test_nothing_is_sent_inside_of_a_transaction(kaspi, order):
    """What would be refused on production is no silent nothing in a test."""
    with transaction.atomic(), pytest.raises(RuntimeError, match=r"leave transaction\.atomic\(\) first"):
        kaspi.send_due()


def test_a_client_of_the_shops_own_reaches_kaspi_in_memory_too(kaspi, monkeypatch):
    """Even with a real key and the real address, made before or inside, no name is looked up."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_args, **_kwargs: pytest.fail("a name was looked up"))
    with pytest.raises(ConfigurationFault):
        KaspiClient("a-real-key", base_url=PRODUCTION_URL).get_delivery("dlv_1")
    assert [request.status for request in kaspi.requests] == [401]


def test_kaspis_test_webhook_comes_to_the_view(kaspi):
    """A test event that the shop asks Kaspi for is posted where it was asked to go."""
    client = KaspiClient("test-key-of-default", base_url=PRODUCTION_URL)
    client.send_test_webhook("https://shop.example/kaspi/webhook/", "delivery.created")
    assert [sent.status for sent in kaspi.send_webhooks()] == [200]


@override_settings(ROOT_URLCONF="django.contrib.auth.urls")
def test_a_shop_without_an_address_for_webhooks_is_told_what_to_write(kaspi, order):
    """The line that is missing stands in the error."""
    kaspi.send_due()
    with pytest.raises(ImproperlyConfigured, match=r'add path\("kaspi/", include'):
        kaspi.move(order, "accepted")


class Closed:
    """A middleware that lets nobody in, as one for maintenance does."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        """Answer before the view is asked."""
        answer = self.get_response(request)
        answer.status_code = 302
        return answer


@override_settings(ROOT_URLCONF=__name__)
def test_a_view_that_asks_for_a_token_is_found(kaspi, order):
    """Kaspi has no CSRF token, and neither has the sandbox: a shop that protects the view hears nothing."""
    kaspi.send_due()
    with pytest.raises(AssertionError, match=r"responded 403 to the webhook delivery\.created"):
        kaspi.send_webhooks()


@override_settings(MIDDLEWARE=["django.middleware.security.SecurityMiddleware"], SECURE_SSL_REDIRECT=True)
def test_webhooks_come_over_https(kaspi, order):
    """A shop that sends everybody to https has nobody to send there."""
    assert kaspi.deliver(order).status == "delivered"


@override_settings(MIDDLEWARE=["tests.testing.test_sandbox.Closed"])
def test_a_middleware_that_turns_webhooks_away_is_found(kaspi, order):
    """Kaspi would send it again for a day, and nobody would know."""
    kaspi.send_due()
    with pytest.raises(AssertionError, match=r"responded 302 to the webhook delivery\.created"):
        kaspi.move(order, "accepted")


@pytest.mark.django_db(transaction=True)
def test_threads_share_a_sandbox(kaspi, order):
    """Two workers at once book one parcel."""

    def work():
        kaspi.send_due()
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE_S)
    kaspi.assert_booked_once(order)


def test_what_follows_from_an_answer_is_sent_at_once(kaspi, order):
    """A cancel that waits for its booking goes with it, in one `send_due`."""
    kaspi.time_out_next("create")
    kaspi.send_due()
    cancel_delivery(kaspi.delivery_of(order))
    kaspi.later(minutes=1)
    assert kaspi.send_due() == 2
    kaspi.assert_cancelled(order)


@pytest.mark.django_db(transaction=True)
def test_an_early_cancel_and_a_late_one(kaspi, order):
    """Both ways to take an order back end cancelled."""
    cancel_delivery(kaspi.delivery_of(order))
    later = Order.objects.create()
    kaspi.deliver(later, until="accepted")
    cancel_delivery(kaspi.delivery_of(later))
    kaspi.send_due()
    kaspi.assert_cancelled(order)
    kaspi.assert_cancelled(later)


def test_a_receiver_that_raises_is_told_again_later(kaspi, order):
    """The package's own promise, seen from a shop's test."""
    times = []

    def fails_once(**_kwargs):
        times.append(1)
        if len(times) == 1:
            raise ValueError

    delivery_created.connect(fails_once)
    kaspi.send_due()
    kaspi.later(minutes=2)
    kaspi.send_due()
    delivery_created.disconnect(fails_once)
    assert len(times) == 2
    assert not StatusChange.objects.filter(notified_at=None).exists()
