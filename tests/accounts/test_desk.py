"""The dashboard, lists and report of a shop with two merchants."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command

from kaspi_delivery_django.models import AccountState, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from tests.accounts.merchants import ALIASES, order_in

pytestmark = pytest.mark.django_db

DESK = "/admin/kaspi_delivery/delivery/"


@pytest.fixture
def one_is_refused(fakes, drain):
    """Book an order of each; Almaty's key is refused."""
    fakes["almaty"].faults.add(Fault(operation="create", status=401, times=None))
    for alias in ALIASES:
        order_in(alias)
    drain()


def test_the_dashboard_shows_each_account(staff, one_is_refused, fake_clock):
    """One circuit breaker is open, with its reason; a worker may be missing for one account only."""
    AccountState.objects.filter(account="astana").update(worker_seen_at=fake_clock.now - timedelta(hours=1))
    page = staff().get(f"{DESK}dashboard/").context
    assert {one.account: one.is_paused for one in page["accounts"]} == {"almaty": True, "astana": False}
    alerts = [alert.words for alert in page["alerts"]]
    assert any(words.startswith("The circuit breaker of almaty is open: ") for words in alerts)
    assert [words for words in alerts if "astana" in words] == [
        "No worker is seen for astana: retries wait until one runs"
    ]


def test_the_report_shows_each_account(one_is_refused, capsys):
    """A limit of one open circuit breaker is kept, a limit of none is crossed."""
    call_command("kaspi_report", "--json", "--max-closed-gates", "1")
    found = {one["account"]: one["gate_closed"] for one in json.loads(capsys.readouterr().out)["accounts"]}
    assert found == {"almaty": True, "astana": False}
    with pytest.raises(SystemExit):
        call_command("kaspi_report", "--max-closed-gates", "0")


def test_an_account_that_is_gone_keeps_its_rows(staff, one_is_refused, settings):
    """They are listed, found by name and filtered, and their page opens; the dashboard no longer shows the account."""
    own = {"astana": settings.KASPI_DELIVERY["ACCOUNTS"]["astana"]}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": own}
    client = staff("view_personal_data")
    for query, expected in (({"q": "order-1"}, ALIASES), ({"account": "almaty"}, ("almaty",))):
        listed = client.get(DESK, query).context["cl"].result_list
        assert sorted(row.account for row in listed) == sorted(expected)
    assert client.get(f"{DESK}{Delivery.objects.get(account='almaty').pk}/change/").status_code == 200
    page = client.get(f"{DESK}dashboard/").context
    assert [one.account for one in page["accounts"]] == ["astana"]
    assert not any("almaty" in alert.words for alert in page["alerts"])
