"""The command: over real sockets, what it prints, and how it ends."""

import json
import logging
from unittest.mock import Mock

import pytest
from django.core.management import execute_from_command_line
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.doctor.report import Report
from kaspi_delivery_django.doctor.texts import result
from kaspi_delivery_django.management.commands import kaspi_doctor
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.stats import snapshot
from tests.doctor import conftest as doctor

pytestmark = pytest.mark.django_db(transaction=True)

kaspi, shop_url, worker_seen = doctor.kaspi, doctor.shop_url, doctor.worker_seen


@pytest.fixture
def examine(run):
    """Run the doctor; return its exit code, what it printed, and its errors."""
    return lambda *arguments: run("kaspi_doctor", *arguments)


@pytest.fixture
def read(examine):
    """Run the doctor with --json; return the document."""
    return lambda *arguments: json.loads(examine("--json", *arguments)[1])


@pytest.fixture
def healthy(settings, kaspi, worker_seen):
    """A shop with SQLite's recommendations silenced, and those about another shop's pages in its admin."""
    settings.SILENCED_SYSTEM_CHECKS = ["kaspi_delivery.W005", "kaspi_delivery.W015", "kaspi_delivery.W038"]
    return kaspi


@pytest.fixture
def two_accounts(settings):
    """A shop of two merchants whose Kaspi is unavailable."""
    own = {alias: {"API_KEY": f"the-key-of-{alias}", "BASE_URL": "http://127.0.0.1:1"} for alias in ("east", "west")}
    settings.KASPI_DELIVERY = {"ORDER_ADAPTERS": ["tests.shop.adapters.OrderAdapter"], "ACCOUNTS": own}


def outcomes(document):
    """Return the outcomes of the findings by name, of accounts and system alike."""
    return {finding["name"]: finding["outcome"] for finding in document["findings"]}


def test_a_healthy_shop_passes_and_the_doctor_writes_nothing_itself(examine, healthy, shop_url):
    """One GET, one POST for the test webhook, which really arrives; the one new row is the webhook's."""
    before = list(AccountState.objects.values())
    code, out, err = examine("--webhook-url", shop_url)
    assert (code, err, "FAIL" in out) == (0, "", False)
    assert f"pass  webhook: A test webhook arrived signed at {shop_url}." in out
    assert "  yours 12 alerting on 4xx and 5xx spikes" in out
    assert out.splitlines()[-1].startswith("0 failed, ")
    assert [(request.method, request.path.partition("?")[0]) for request in healthy.requests] == [
        ("GET", "/v1/deliveries/dlv_kaspi_doctor_none"),
        ("POST", "/v1/webhooks/test"),
    ]
    counts = [model.objects.count() for model in (Delivery, ApiCall, WebhookEvent)]
    assert (counts, list(AccountState.objects.values())) == ([0, 0, 1], before)


def test_without_a_webhook_it_only_reads(examine, healthy):
    """Not one statement of it changes a row."""
    with CaptureQueriesContext(connection) as queries:
        assert examine()[0] == 0
    assert {query["sql"].split()[0] for query in queries} <= {"SELECT", "PRAGMA", "SHOW"}


def test_after_a_wrong_key_no_webhook_is_requested(read, healthy, shop_url):
    """The next line says what is to be fixed first."""
    healthy.api_key = "the-key-that-kaspi-knows"
    found = read("--webhook-url", shop_url)
    assert (found["passed"], outcomes(found)["key"], outcomes(found)["webhook"]) == (False, "fail", "yours")
    assert {request.method for request in healthy.requests} == {"GET"}


def test_a_dead_worker_ends_with_1(examine, healthy):
    """And the line says what to start."""
    AccountState.objects.all().delete()
    code, out, _err = examine()
    assert code == 1
    assert "FAIL  worker: None was ever seen.\n        Keep `python manage.py kaspi_worker` running" in out


def test_an_item_that_fails_ends_with_1(read, examine, healthy, caplog):
    """Although each finding is well: LOGGING silences the webhook's warnings."""
    caplog.set_level(logging.ERROR, logger="kaspi_delivery_django.views.webhook")
    found = read()
    assert "fail" not in outcomes(found).values()
    assert [item["number"] for item in found["checklist"] if item["outcome"] == "fail"] == [7]
    assert examine()[0] == 1


@pytest.mark.django_db(transaction=False)  # it is rolled back
def test_unapplied_migrations_leave_the_tables_unread(read, healthy):
    """Kaspi is asked all the same, only not for a webhook that nothing can keep."""
    recorder = MigrationRecorder(connection)
    last = max(name for app, name in recorder.applied_migrations() if app == "kaspi_delivery")
    recorder.record_unapplied("kaspi_delivery", last)
    found = outcomes(read("--webhook-url", "http://127.0.0.1:1/kaspi/webhook/"))
    assert (found["migrations"], found["key"], found["webhook"]) == ("fail", "pass", "yours")
    assert "worker" not in found


def test_the_document_keeps_its_shape(read, healthy):
    """Programs read it: keys, names and outcomes."""
    found = read()
    assert [*found] == ["schema", "passed", "accounts", "findings", "checklist"]
    assert (found["schema"], found["passed"]) == (1, True)
    assert [[*account] for account in found["accounts"]] == [["account", "environment", "base_url"]]
    assert {tuple(finding) for finding in found["findings"]} == {("name", "outcome", "message", "todo", "account")}
    assert {tuple(item) for item in found["checklist"]} == {("number", "asks", "outcome", "message", "todo")}
    assert {line["outcome"] for line in found["findings"] + found["checklist"]} <= {"pass", "fail", "yours"}
    assert [*dict.fromkeys(finding["name"] for finding in found["findings"])] == [
        *("checks", "migrations", "database clock", "backlog", "silence", "people"),
        *("worker", "gate", "api", "key", "clock", "webhook"),
    ]


def test_each_account_is_examined_or_the_one_that_is_named(read, two_accounts):
    """By the order of the settings."""
    assert [account["account"] for account in read()["accounts"]] == ["east", "west"]
    found = read("--account", "west")
    assert [account["account"] for account in found["accounts"]] == ["west"]
    assert {finding["account"] for finding in found["findings"]} == {"", "west"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--account", "north"], "No account 'north'; there are: east, west."),
        (["--webhook-url", "https://shop.example/kaspi/webhook/"], "write {account} for the alias"),
        (["--account", "east", "--webhook-url", "shop.example"], "--webhook-url: it must be a whole address"),
    ],
)
def test_wrong_use_ends_with_2(examine, two_accounts, arguments, message):
    """Before anything is asked."""
    code, out, err = examine(*arguments)
    assert (code, out, message in err) == (2, "", True)


def test_a_wait_without_an_end_is_wrong_use(capsys):
    """As from a terminal."""
    with pytest.raises(SystemExit) as end:
        execute_from_command_line(["manage.py", "kaspi_doctor", "--wait", "0"])
    assert (end.value.code, "from 1 to 600" in capsys.readouterr().err) == (2, True)


def test_settings_that_cannot_be_read_end_with_2(examine, settings):
    """With the text of the check."""
    settings.KASPI_DELIVERY = {"API_KEI": "x"}
    code, _out, err = examine()
    assert (code, "Did you mean 'API_KEY'?" in err) == (2, True)


def test_an_unavailable_database_ends_with_3(examine, healthy, monkeypatch):
    """Nothing that it would have said is printed."""
    monkeypatch.setattr(snapshot, "read", Mock(side_effect=OperationalError("password=hunter2")))
    code, out, err = examine()
    assert (code, out) == (3, "")
    assert "OperationalError" in err
    assert "hunter2" not in err


def test_it_shows_no_secret(examine, healthy, shop_url, settings):
    """Neither key nor secret, in lines or in JSON, when all is well and when it is not."""
    own = settings.KASPI_DELIVERY
    printed = "".join(examine("--webhook-url", shop_url, *more)[1] for more in ([], ["--json"]))
    healthy.api_key = "the-key-that-kaspi-knows"
    printed += "".join(examine("--webhook-url", shop_url, *more)[1] for more in ([], ["--json"]))
    for secret in (own["API_KEY"], own["WEBHOOK_SECRETS"][0], healthy.api_key):
        assert secret not in printed


def test_no_line_speaks_to_the_terminal():
    """Whatever a finding repeats, of the settings, the tables or Kaspi, it stays on its line and colours none."""
    hostile = "Closed: \x1b[2Jwell\n  pass  key: taken.\r\u202e{0}"
    account = Account(alias="east", environment="sandbox", base_url="")
    finding = result("checks/wrong", account="east", text=hostile, hint=hostile)
    printed = list(kaspi_doctor.lines(Report(accounts=[account], findings=[finding], checklist=[])))
    assert all(line.isprintable() for line in printed)
    assert r"  FAIL  checks: Closed: \x1b[2Jwell\n  pass  key: taken.\r\u202e{0}" in printed
