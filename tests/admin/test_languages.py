"""What staff read on the pages in their own language: times, numbers and the errors of our calls."""

import re
from types import SimpleNamespace

import pytest
from django.utils import translation
from django.utils.text import capfirst

from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt, PendingAction, WebhookEvent
from tests.conftest import NOON, event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

FOLDER = "/admin/kaspi_delivery"
TABLES = ("delivery", "apicall", "webhookevent", "statuschange", "failedattempt", "pendingaction", "accountstate")
VIEWS = tuple(f"view_{table}" for table in TABLES)
DIGITS = re.compile(r"\b\d\d\.\d\d\.\d{4} \d\d:\d\d\b")
STORED = "Kaspi answered the booking with an error (status=401)"
REFUSED = 'There is nothing to retry. To resend a refused booking, use "Rebook".'
SHOWN = {
    "ru": "Kaspi ответил ошибкой на оформление (status=401)",
    "kk": "Kaspi ресімдеуге қате деп жауап берді (status=401)",
}


@pytest.fixture
def delivery(drain, deliver_webhooks, turnable):
    """Return a delivery that Kaspi has booked, with its first webhook."""
    Order.objects.create()
    drain()
    deliver_webhooks()
    return Delivery.objects.get()


@pytest.fixture
def pages(staff, delivery):
    """Fill each table, and return how to read a page of one of them in a language."""
    call = ApiCall.objects.latest("pk")
    ApiCall.objects.filter(pk=call.pk).update(error_message=STORED)
    FailedAttempt.objects.create(call=call, kind=call.kind, at=NOON, error=STORED, http_status=401)
    PendingAction.objects.create(name="refresh", delivery=call.delivery, created_at=NOON)
    PendingAction.objects.create(name="retry", delivery=call.delivery, created_at=NOON, failed_at=NOON, failure=REFUSED)
    state, _made = AccountState.objects.get_or_create(account="default", environment="sandbox")
    AccountState.objects.filter(pk=state.pk).update(closed_until=NOON, closed_reason=STORED, worker_seen_at=NOON)
    client = staff(*VIEWS, "view_personal_data", "retry_delivery")

    def read(address, language):
        with translation.override(language):
            answer = client.get(f"{FOLDER}/{address}")
            assert answer.status_code == 200
            return answer.text

    return read


@pytest.mark.parametrize("table", [table for table in TABLES if table != "delivery"])
def test_a_list_has_kazakh_times(pages, table):
    """Django has no Kazakh formats, and would write "Қараша 3, 2026, 9:08 p.m."."""
    shown = pages(f"{table}/", "kk")
    assert DIGITS.search(shown)
    assert not re.search(r"[ap]\.m\.|, 20\d\d,", shown)


@pytest.mark.parametrize("table", TABLES)
def test_a_rows_page_has_kazakh_times(pages, table, delivery):
    """Its own, and those of the tables inside it."""
    address = re.search(rf"{FOLDER}/({table}/\d+/change/)", pages(f"{table}/", "kk"))[1]
    shown = pages(address, "kk")
    assert DIGITS.search(shown)
    assert not re.search(r"[ap]\.m\.|, 20\d\d,", shown)


def test_the_dashboard_has_kazakh_times(pages):
    """The last webhook, the worker and the time of the page itself."""
    shown = pages("delivery/dashboard/", "kk")
    assert DIGITS.search(shown)
    assert not re.search(r"[ap]\.m\.|, 20\d\d,", shown)


@pytest.mark.parametrize("language", SHOWN)
@pytest.mark.parametrize("address", ["failedattempt/", "accountstate/", "delivery/dashboard/"])
def test_an_error_of_our_calls_is_in_the_readers_language(pages, address, language):
    """It is stored in English, and translated where it is shown."""
    shown = pages(address, language)
    assert SHOWN[language] in shown
    assert "with an error" not in shown


@pytest.mark.parametrize("language", SHOWN)
def test_a_deliverys_page_translates_the_errors_of_its_calls(pages, delivery, language):
    """Those of its calls; an attempt that Kaspi answered is explained by its status."""
    shown = pages(f"delivery/{delivery.pk}/change/", language)
    assert SHOWN[language] in shown
    assert "with an error" not in shown


@pytest.mark.parametrize("language", SHOWN)
@pytest.mark.parametrize("model", [ApiCall, FailedAttempt, AccountState])
def test_a_rows_page_translates_its_error(pages, model, language):
    """The page of a call, of an attempt, and of an account."""
    shown = pages(f"{model._meta.model_name}/{model.objects.latest('pk').pk}/change/", language)
    assert SHOWN[language] in shown
    assert "with an error" not in shown


@pytest.mark.parametrize(("language", "words"), [("ru", "Повторять нечего"), ("kk", "Қайталайтын")])
def test_a_refusal_is_in_the_readers_language(pages, language, words):
    """In the list, on its own page, and where staff are asked about it."""
    refused = PendingAction.objects.latest("pk").pk
    for address in ("", f"{refused}/change/", f"{refused}/do/dismiss/"):
        shown = pages(f"pendingaction/{address}", language)
        assert words in shown
        assert "nothing to retry" not in shown


@pytest.mark.parametrize("language", SHOWN)
def test_an_events_page_has_one_reason(pages, post_webhook, language):
    """In the reader's language."""
    post_webhook(event(SimpleNamespace(delivery_id="dlv_0", external_order_id="order-0"), "created"))
    shown = pages(f"webhookevent/{WebhookEvent.objects.latest('pk').pk}/change/", language)
    assert WebhookEvent.Reason.NO_DELIVERY not in shown
    with translation.override(language):
        assert shown.count(f"{capfirst(translation.gettext('reason'))}:") == 1


@pytest.mark.parametrize("language", SHOWN)
def test_a_list_has_its_total_and_its_actions_in_the_readers_language(pages, language):
    """Django knows one plural, and lacks both of the other texts in Russian or Kazakh."""
    shown = pages("pendingaction/", language)
    with translation.override(language):
        assert translation.gettext("Total: %(count)s") % {"count": 2} in shown
    assert "Total:" not in shown
    assert "Select an option" not in shown
    assert ">Run<" not in shown
