"""A webhook is trusted for the account whose secret signed it, and for no other."""

import pytest

from kaspi_delivery_django.models import WebhookEvent
from tests.accounts.merchants import ALIASES, credentials

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shop")]

NEW_SECRET = "the-new-webhook-secret-of-almaty-alone"
DATA = {"deliveryId": "dlv_1", "externalOrderId": "order-1", "status": "created", "timestamp": "2026-03-01T12:00:00Z"}
EVENT = {"eventId": "wh_1", "type": "delivery.created", "attempt": 1, "data": DATA}


@pytest.fixture
def post(post_webhook):
    """Post an event to an account's address, signed with somebody's secret."""

    def send(alias, *, secret):
        return post_webhook(EVENT, secret=secret, url=f"/kaspi/webhook/{alias}/")

    return send


def secret_of(alias):
    """Return the one secret of an account."""
    [secret] = credentials(alias)["WEBHOOK_SECRETS"]
    return secret


@pytest.mark.parametrize("alias", ALIASES)
def test_its_own_secret_opens_its_address(post, alias):
    """And the event is kept under that account."""
    assert post(alias, secret=secret_of(alias)).status_code == 200
    assert WebhookEvent.objects.get().account == alias


@pytest.mark.parametrize(("alias", "other"), [ALIASES, ALIASES[::-1]])
def test_another_accounts_secret_opens_nothing(post, alias, other, django_assert_num_queries):
    """A merchant cannot speak for another one; nothing is asked of the database."""
    with django_assert_num_queries(0):
        assert post(alias, secret=secret_of(other)).status_code == 401


def test_an_address_of_no_account_is_refused(post, shop, django_assert_num_queries):
    """With the same answer as one that has no secret yet: Kaspi comes again."""
    with django_assert_num_queries(0):
        answer = post("karaganda", secret=secret_of("almaty"))
    shop("almaty", WEBHOOK_SECRETS=[])
    silent = post("almaty", secret=secret_of("almaty"))
    assert (answer.status_code, answer.json()) == (503, {"status": "not configured"})
    assert (silent.status_code, silent.content, silent.headers) == (503, answer.content, answer.headers)


def test_the_address_without_an_alias_is_the_default_accounts(post_webhook):
    """Where there is none, no secret opens it."""
    assert post_webhook(EVENT, secret=secret_of("almaty")).status_code == 503


def test_the_same_event_id_is_two_events_in_two_accounts(post):
    """Kaspi numbers each merchant's events; the repeat of one counts there only."""
    answers = [post(alias, secret=secret_of(alias)).json() for alias in ALIASES]
    assert answers == [{"status": "parked"}] * 2
    assert post("almaty", secret=secret_of("almaty")).json() == {"status": "parked"}
    counts = dict(WebhookEvent.objects.values_list("account", "received_count"))
    assert counts == {"almaty": 2, "astana": 1}


def test_one_rotates_its_secret_and_the_other_hears_on(post, shop):
    """While it rotates both of its secrets open its address, afterwards only the new one."""
    shop("almaty", WEBHOOK_SECRETS=[NEW_SECRET, secret_of("almaty")])
    assert post("almaty", secret=secret_of("almaty")).status_code == 200
    assert post("almaty", secret=NEW_SECRET).status_code == 200
    shop("almaty", WEBHOOK_SECRETS=[NEW_SECRET])
    assert post("almaty", secret=secret_of("almaty")).status_code == 401
    assert post("astana", secret=secret_of("astana")).status_code == 200


def test_an_account_without_a_secret_closes_no_other(post, shop):
    """503 there, so that Kaspi comes again; 200 here."""
    shop("almaty", WEBHOOK_SECRETS=[])
    assert post("almaty", secret=secret_of("almaty")).status_code == 503
    assert post("astana", secret=secret_of("astana")).status_code == 200
