"""The operators' desk and the report of a shop with two merchants."""

import json
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.management import call_command

from kaspi_delivery_django.models import AccountState, Delivery, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from tests.accounts.merchants import ALIASES, order_in

pytestmark = pytest.mark.django_db(transaction=True)

FOLDER = "/admin/kaspi_delivery"


@pytest.fixture(autouse=True)
def _fresh_cache():
    """Forget what other tests have counted."""
    cache.clear()


@pytest.fixture
def one_is_refused(fakes, drain, deliver_webhooks):
    """Book an order of each; Almaty's key is refused, Astana's parcel is on its way."""
    fakes["almaty"].faults.add(Fault(operation="create", status=401, times=None))
    for alias in ALIASES:
        order_in(alias)
    drain()
    deliver_webhooks("astana")


def listed(client, model, **query):
    """Return the accounts of the rows that a list shows."""
    page = client.get(f"{FOLDER}/{model}/", query)
    assert page.status_code == 200
    return [row.account for row in page.context["cl"].result_list]


@pytest.mark.parametrize("alias", ALIASES)
def test_deliveries_are_filtered_by_account(staff, one_is_refused, alias):
    """The filter offers both, and keeps what it says."""
    client = staff()
    assert sorted(listed(client, "delivery")) == list(ALIASES)
    assert listed(client, "delivery", account=alias) == [alias]
    page = client.get(f"{FOLDER}/delivery/").content.decode()
    assert f"?account={alias}" in page


def test_events_are_filtered_by_account(staff, one_is_refused):
    """Only Astana's Kaspi has said anything."""
    client = staff("view_webhookevent")
    assert listed(client, "webhookevent", account="astana") == ["astana"]
    assert listed(client, "webhookevent", account="almaty") == []


def test_a_name_that_both_accounts_use_finds_both(staff, one_is_refused):
    """And the column beside it tells them apart."""
    assert sorted(listed(staff(), "delivery", q="order-1")) == list(ALIASES)


def test_the_dashboard_tells_the_accounts_apart(staff, one_is_refused):
    """One gate is closed, and says why; the other's is open, and asks nobody for anything."""
    page = staff().get(f"{FOLDER}/delivery/dashboard/")
    gates = {one.alias: one.is_closed for one in page.context["accounts"]}
    assert gates == {"almaty": True, "astana": False}
    words = [alert.words for alert in page.context["alerts"]]
    assert any(said.startswith("The circuit breaker of almaty is open: ") for said in words)
    assert not any("astana" in said for said in words)


def test_the_dashboard_misses_the_worker_of_one_account(staff, one_is_refused, turnable):
    """A worker whose settings have one account only is none for the other."""
    AccountState.objects.filter(account="astana").update(worker_seen_at=turnable.now - timedelta(hours=1))
    words = [alert.words for alert in staff().get(f"{FOLDER}/delivery/dashboard/").context["alerts"]]
    missed = [said for said in words if said.startswith("No worker is seen")]
    assert missed == ["No worker is seen for astana: retries wait until one runs"]


def test_the_report_names_each_account(one_is_refused, capsys):
    """For whoever watches the shop."""
    call_command("kaspi_report", "--json")
    found = {one["account"]: one["gate_closed"] for one in json.loads(capsys.readouterr().out)["accounts"]}
    assert found == {"almaty": True, "astana": False}


def test_the_report_counts_one_closed_gate(one_is_refused):
    """A limit of one is kept, a limit of none is crossed."""
    call_command("kaspi_report", "--max-closed-gates", "1")
    with pytest.raises(SystemExit):
        call_command("kaspi_report", "--max-closed-gates", "0")


@pytest.fixture
def almaty_is_gone(one_is_refused, settings):
    """Take the one out of the settings; its rows stay."""
    own = {"astana": settings.KASPI_DELIVERY["ACCOUNTS"]["astana"]}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": own}


def test_rows_of_an_account_that_is_gone_are_listed_and_filtered(staff, almaty_is_gone):
    """And their page opens."""
    client = staff("view_personal_data")
    assert sorted(listed(client, "delivery")) == list(ALIASES)
    assert listed(client, "delivery", account="almaty") == ["almaty"]
    gone = Delivery.objects.get(account="almaty")
    assert client.get(f"{FOLDER}/delivery/{gone.pk}/change/").status_code == 200


def test_events_of_an_account_that_is_gone_are_found(staff, almaty_is_gone):
    """By their id, as all others."""
    WebhookEvent.objects.update(account="almaty")
    event_id = WebhookEvent.objects.get().event_id
    assert listed(staff("view_webhookevent"), "webhookevent", q=event_id) == ["almaty"]


def test_the_dashboard_speaks_of_the_accounts_there_are(staff, almaty_is_gone):
    """A gate that nobody needs any more asks for nobody."""
    page = staff().get(f"{FOLDER}/delivery/dashboard/")
    assert [one.alias for one in page.context["accounts"]] == ["astana"]
    assert not any("almaty" in alert.words for alert in page.context["alerts"])
