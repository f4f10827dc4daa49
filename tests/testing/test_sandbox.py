"""What a test does with Kaspi, inside the test's transaction and outside of one."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.http import HttpResponseRedirect
from django.test import TestCase, override_settings
from django.urls import include, path
from django.views.decorators.csrf import csrf_protect

from kaspi_delivery_django.client import PRODUCTION_URL, KaspiClient
from kaspi_delivery_django.client.exceptions import ConfigurationFault
from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services import cancel_delivery
from kaspi_delivery_django.signals import delivery_status_changed
from kaspi_delivery_django.testing import Fault
from kaspi_delivery_django.testing.environment import committed
from kaspi_delivery_django.views import WebhookView
from tests.shop.models import Order


@csrf_protect
def protected(request):
    """Require a CSRF token, as a shop that wraps the view may do by mistake."""
    return WebhookView.as_view()(request)


urlpatterns = [path("kaspi/", include(([path("webhook/", protected, name="webhook")], "kaspi_delivery")))]

STATUSES = ["created", "accepted", "in_transit", "out_for_delivery", "delivered"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def received():
    """The statuses that a shop's receiver was notified of."""
    statuses = []

    def receive(change, **_kwargs):
        statuses.append(change.to_status)

    delivery_status_changed.connect(receive)
    yield statuses
    delivery_status_changed.disconnect(receive)


def test_an_order_is_delivered(kaspi, order, received):
    """One line takes it from the save to the customer; `until` ends earlier, and another call goes on from there."""
    assert kaspi.deliver(order, until="in_transit").status == "in_transit"
    assert kaspi.deliver(order).status == "delivered"
    assert [entry["status"] for entry in kaspi.booking_of(order).history] == STATUSES == received


@pytest.mark.django_db(transaction=True)
def test_receivers_when_commits_are_real(kaspi, order, received):
    """The shop is notified of every step, once each."""
    kaspi.deliver(order)
    assert received == STATUSES


def test_receivers_inside_of_a_test_case(kaspi, order, received):
    """A capture around the whole does not run what the sandbox ran already."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        kaspi.deliver(order)
    assert received == STATUSES


def test_callbacks_before_an_error_run_at_most_once(order, received, kaspi):
    """The test goes on after it, and its capture runs the rest."""

    def fail():
        with committed():
            transaction.on_commit(lambda: received.append("once"))
            raise ZeroDivisionError

    with TestCase.captureOnCommitCallbacks(execute=True), pytest.raises(ZeroDivisionError):
        fail()
    assert received.count("once") <= 1


def test_steps_that_are_impossible(kaspi, order):
    """A mistyped status, a parcel that is not booked, and a status behind the current one."""
    with pytest.raises(ValueError, match="until must be one of created, accepted"):
        kaspi.deliver(order, until="deliverd")
    with pytest.raises(AssertionError, match="Kaspi has 0 deliveries of it"):
        kaspi.move(order, "accepted")
    assert kaspi.requests == []
    kaspi.deliver(order)
    with pytest.raises(AssertionError, match="it is delivered at Kaspi, and cannot become accepted"):
        kaspi.deliver(order, until="accepted")


def test_send_due_and_move(kaspi, order):
    """Nothing is sent before `send_due`, which returns its requests; a status at Kaspi comes by webhook to the view."""
    assert kaspi.requests == []
    assert (kaspi.send_due(), kaspi.send_due()) == (1, 0)
    delivery = kaspi.move(order, "accepted", notes="Ruslan")
    assert delivery.status == "accepted"
    assert kaspi.booking_of(order).history[-1]["notes"] == "Ruslan"
    assert delivery.events.get(type="delivery.accepted").state == "applied"
    assert kaspi.move(delivery, "in_transit").pk == delivery.pk


def test_the_same_event_twice(kaspi, order):
    """A webhook of one's own goes through the view; its second attempt is the same event and takes effect once."""
    kaspi.send_due()
    answers = []
    for _ in range(2):
        answers.append(kaspi.webhook(order, "accepted", event_id="wh_1").json())
        kaspi.later(minutes=1)
    event = WebhookEvent.objects.get(event_id="wh_1")
    assert answers[0] == {"status": "applied"}
    assert (event.state, event.received_count, event.attempt) == ("applied", 2, 2)
    kaspi.assert_status(order, "accepted")


def test_a_forged_webhook_is_refused(kaspi, order):
    """The real view checks the signature and the time stamp; of a delivery that is not booked it accepts it."""
    assert kaspi.webhook(order, "created").status_code == 200
    kaspi.send_due()
    assert kaspi.webhook(order, "delivered", secret="x" * 32).status_code == 401
    assert kaspi.webhook(order, "delivered", signed_at=kaspi.now() - timedelta(minutes=6)).status_code == 401
    kaspi.assert_status(order, "created")


def test_a_webhook_before_the_answer(kaspi, order):
    """An event about a booking whose answer was lost has the id that Kaspi gave it."""
    kaspi.time_out_next("create")
    kaspi.send_due()
    kaspi.webhook(order, "created")
    kaspi.assert_booked_once(order)


def test_an_error_is_tried_again_later(kaspi, order):
    """After a 503 a minute later, after a 429 when its time is over; the clock is moved, and no test sleeps."""
    kaspi.fail_next("create", status=503)
    kaspi.fail_next("create", status=429, retry_after=600)
    assert (kaspi.send_due(), kaspi.send_due()) == (1, 0)
    kaspi.later(minutes=1)
    assert kaspi.send_due() == 1
    kaspi.assert_not_booked(order)
    kaspi.later(minutes=9)
    assert kaspi.send_due() == 0
    kaspi.later(minutes=2)
    assert kaspi.send_due() == 1
    kaspi.assert_booked_once(order)


@pytest.mark.parametrize("lose", [lambda k: k.time_out_next("create"), lambda k: k.drop_next("create", acted=True)])
def test_an_answer_that_is_lost_books_nothing_twice(kaspi, order, lose):
    """Kaspi has booked it, the shop does not know: the same key finds it again. A cancel goes with it in one call."""
    lose(kaspi)
    kaspi.send_due()
    assert (kaspi.delivery_of(order).delivery_id, len(kaspi.bookings_of(order))) == (None, 1)
    cancel_delivery(kaspi.delivery_of(order))
    kaspi.later(minutes=1)
    assert kaspi.send_due() == 2
    kaspi.assert_booked_once(order)
    kaspi.assert_cancelled(order)


def test_a_connection_that_breaks_before_kaspi_acts(kaspi, order):
    """Nothing is booked then; a fault that is cleared hits no call."""
    kaspi.drop_next("create")
    kaspi.add_fault(Fault(operation="create", status=503, times=None))
    kaspi.send_due()
    kaspi.assert_not_booked(order)
    kaspi.clear_faults()
    kaspi.later(minutes=1)
    kaspi.send_due()
    kaspi.assert_booked_once(order)


def test_the_clock(kaspi):
    """It runs, and is moved forward only."""
    with pytest.raises(ValueError, match="forward"):
        kaspi.later(minutes=-1)
    before = kaspi.now()
    kaspi.later(hours=3)
    assert timedelta(hours=3) <= kaspi.now() - before < timedelta(hours=4)


def test_a_frozen_time_is_honoured(kaspi, monkeypatch):
    """A shop that freezes Django's clock, at any date, has its orders booked and its webhooks accepted."""
    then = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
    monkeypatch.setattr("django.utils.timezone.now", lambda: then)
    frozen = Order.objects.create()
    assert kaspi.deliver(frozen).status_at == then
    kaspi.assert_up_to_date(frozen)


def test_nothing_is_sent_inside_of_a_transaction(kaspi, order):
    """What would be refused on production is no silent nothing in a test."""
    with transaction.atomic(), pytest.raises(RuntimeError, match=r"leave transaction\.atomic\(\) first"):
        kaspi.send_due()


def test_a_client_of_the_shops_own(kaspi, monkeypatch):
    """Even with a real key and address no name is looked up; a test webhook comes to the shop's view."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_args, **_kwargs: pytest.fail("a name was looked up"))
    with pytest.raises(ConfigurationFault):
        KaspiClient("a-real-key", base_url=PRODUCTION_URL).get_delivery("dlv_1")
    assert [request.status for request in kaspi.requests] == [401]
    client = KaspiClient("test-key-of-default", base_url=PRODUCTION_URL)
    client.send_test_webhook("https://shop.example/kaspi/webhook/", "delivery.created")
    assert [sent.status for sent in kaspi.send_webhooks()] == [200]


@override_settings(ROOT_URLCONF="django.contrib.auth.urls")
def test_a_shop_without_an_address_for_webhooks(kaspi, order):
    """The line that is missing is in the error."""
    kaspi.send_due()
    with pytest.raises(ImproperlyConfigured, match=r'add path\("kaspi/", include'):
        kaspi.move(order, "accepted")


def closed(_get_response):
    """Redirect every request, as a middleware for maintenance does."""
    return lambda _request: HttpResponseRedirect("/closed/")


@pytest.mark.parametrize(
    ("changes", "status"), [({"ROOT_URLCONF": __name__}, 403), ({"MIDDLEWARE": [f"{__name__}.closed"]}, 302)]
)
def test_a_shop_that_does_not_accept_webhooks(kaspi, order, changes, status):
    """Kaspi has no CSRF token, and would send it again for a day: the test fails instead."""
    kaspi.send_due()
    expected = rf"responded {status} to the webhook delivery\.created"
    with override_settings(**changes), pytest.raises(AssertionError, match=expected):
        kaspi.send_webhooks()


@override_settings(MIDDLEWARE=["django.middleware.security.SecurityMiddleware"], SECURE_SSL_REDIRECT=True)
def test_webhooks_come_over_https(kaspi, order):
    """A shop that redirects to https accepts them."""
    assert kaspi.deliver(order).status == "delivered"


@pytest.mark.django_db(transaction=True)
def test_threads_share_a_sandbox(kaspi, order, at_once):
    """Two workers at once book one parcel."""
    sent = at_once(kaspi.send_due, kaspi.send_due)
    assert set(sent) <= {0, 1}
    kaspi.assert_booked_once(order)
