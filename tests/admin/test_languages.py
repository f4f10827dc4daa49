"""What staff read on the pages in their own language: times, numbers and the errors of our calls."""

import re
from types import SimpleNamespace

import pytest
from django.utils import translation
from django.utils.text import capfirst

from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt, PendingAction, WebhookEvent
from tests.admin.conftest import FOLDER, TABLES, VIEWS
from tests.conftest import NOON, event

pytestmark = pytest.mark.django_db(transaction=True)

STORED = "Kaspi answered the booking with an error (status=401)"
REFUSED = 'There is nothing to retry. To resend a refused booking, use "Rebook".'
SHOWN = {
    "ru": ("Kaspi ответил ошибкой на оформление (status=401)", "Повторять нечего"),
    "kk": ("Kaspi ресімдеуге қате деп жауап берді (status=401)", "Қайталайтын"),
}


@pytest.fixture
def pages(staff, booked, deliver_webhooks, post_webhook):
    """Fill each table, and return how to read a page of one of them in a language."""
    deliver_webhooks()
    post_webhook(event(SimpleNamespace(delivery_id="dlv_0", external_order_id="order-0"), "created"))
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


def page_of(model):
    """Return the address of the newest row's page."""
    return f"{model._meta.model_name}/{model.objects.latest('pk').pk}/change/"


def test_times_are_written_in_kazakh(pages):
    """Django has no Kazakh formats, and would write "Қараша 3, 2026, 9:08 p.m."."""
    lists = [f"{table}/" for table in TABLES]
    rows = [re.search(rf"{FOLDER}/({address}\d+/change/)", pages(address, "kk"))[1] for address in lists]
    for address in (*lists[1:], *rows, "delivery/dashboard/"):
        shown = pages(address, "kk")
        assert re.search(r"\b\d\d\.\d\d\.\d{4} \d\d:\d\d\b", shown), address
        assert not re.search(r"[ap]\.m\.|, 20\d\d,", shown), address


@pytest.mark.parametrize("language", SHOWN)
def test_errors_of_our_calls_are_in_the_readers_language(pages, language):
    """They are stored in English, and translated on lists, on rows' pages, and where an action is confirmed."""
    error, refusal = SHOWN[language]
    rows = [page_of(model) for model in (ApiCall, FailedAttempt, AccountState, Delivery)]
    for address in ("failedattempt/", "accountstate/", "delivery/dashboard/", *rows):
        shown = pages(address, language)
        assert error in shown, address
        assert "with an error" not in shown, address
    refused = page_of(PendingAction)
    for address in ("pendingaction/", refused, refused.replace("change", "do/dismiss")):
        shown = pages(address, language)
        assert refusal in shown, address
        assert "nothing to retry" not in shown, address


@pytest.mark.parametrize("language", SHOWN)
def test_other_texts_are_in_the_readers_language(pages, language):
    """An event's one reason; a list's total and actions, which Django lacks in Russian or Kazakh."""
    shown, listed = pages(page_of(WebhookEvent), language), pages("pendingaction/", language)
    assert WebhookEvent.Reason.NO_DELIVERY not in shown
    with translation.override(language):
        assert shown.count(f"{capfirst(translation.gettext('reason'))}:") == 1
        assert translation.gettext("Total: %(count)s") % {"count": 2} in listed
    assert not [text for text in ("Total:", "Select an option", ">Run<") if text in listed]
