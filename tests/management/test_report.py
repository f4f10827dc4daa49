"""The report: the figures for people and for programs, and the exit code that says that a limit is crossed."""

import io
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command, execute_from_command_line
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.management import report_table
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt, WebhookEvent
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.stats import cached, metrics, report, snapshot
from tests.conftest import NOON, event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

DOCS = Path(__file__).parent.parent.parent / "docs" / "running.md"


@pytest.fixture(autouse=True)
def nothing_remembered(turnable):
    """Count the days again: the cache outlives a test."""
    cache.clear()


@pytest.fixture
def run(turnable):
    """Run the command; return its exit code, what it printed, and what it said on stderr."""

    def call(*arguments):
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command("kaspi_report", *arguments, stdout=out, stderr=err)
        except SystemExit as end:
            return end.code, out.getvalue(), err.getvalue()
        except CommandError as wrong:
            return wrong.returncode, out.getvalue(), str(wrong)
        return 0, out.getvalue(), err.getvalue()

    return call


@pytest.fixture
def read(run):
    """Run the command with --json; return the document."""
    return lambda *arguments: json.loads(run("--json", *arguments)[1])


def row(table, label):
    """Return what the table says beside a label."""
    [line] = [line for line in table.splitlines() if line.strip().startswith(f"{label}  ")]
    return line.strip().removeprefix(label).strip()


def fail(call, *statuses, at=NOON):
    """Let tries of this call have failed with these statuses."""
    for status in statuses:
        FailedAttempt.objects.create(call=call, kind=call.kind, at=at, http_status=status)


def test_the_table_says_how_things_stand(run, booked, post_webhook, turnable):
    """For people: what is on its way, what waits, how long ago the last webhook was."""
    Delivery.objects.update(attention="order_edited")
    post_webhook(event(booked, "accepted"))
    turnable.turn(minutes=3, seconds=5)
    code, table, said = run()
    assert (code, said) == (0, "")
    assert table.startswith("Kaspi Delivery, 2026-03-01 12:03:05 UTC\n")
    assert (row(table, "accepted"), row(table, "order_edited")) == ("1", "1")
    assert row(table, "last one") == "3 min 5 s ago"
    assert [row(table, kind) for kind in ("booked", "delivered", "cancelled")] == ["1", "0", "0"]
    assert row(table, "default (sandbox) worker") == "seen 3 min 5 s ago"


def test_the_table_of_a_new_shop_says_what_never_was(run):
    """And leaves out what has no rows."""
    table = run()[1]
    assert (row(table, "last one"), row(table, "default (sandbox) worker")) == ("never", "never seen")
    assert "refused  " not in table
    assert "Calls that ended" not in table


def test_the_table_says_what_failed_and_how_gates_stand(run, due):
    """A closed gate has its reason."""
    fail(due, 503, 502, None, 401)
    AccountState.objects.create(
        account="default", environment="sandbox", closed_until=NOON + timedelta(minutes=5), closed_reason="a bad key"
    )
    table = run()[1]
    assert [row(table, label) for label in ("4xx", "5xx", "no answer", "other")] == ["1", "2", "1", "0"]
    assert row(table, "default (sandbox) breaker") == "open until 2026-03-01 12:05:00 UTC: a bad key"


def test_counts_that_were_not_finished_say_so(run, monkeypatch):
    """Counting stops at 10,000, and so does a sum of such counts."""
    assert [report_table.count(number) for number in (0, 10_000, 10_001)] == ["0", "10,000", "10,000+"]
    assert report.total({"parked": 6000, "failed": 6000}) == 10_001


def test_the_document_is_in_seconds_and_utc(read, due, turnable):
    """For programs: null for never, zone and all."""
    turnable.turn(minutes=2)
    found = read()
    assert datetime.fromisoformat(found["read_at"]) == clock.now()
    assert found["read_at"].endswith("+00:00")
    assert found["oldest_due"]["age_seconds"] == 180
    assert found["last_webhook"] == {"at": None, "age_seconds": None}
    assert found["deliveries"]["not_booked"] == 1


def test_the_document_tells_the_last_hour_day_and_week(read, booked, post_webhook, turnable):
    """Older rows do not count."""
    call = ApiCall.objects.get()
    fail(call, 503, at=NOON - timedelta(minutes=59))
    fail(call, 503, at=NOON - timedelta(minutes=61))
    post_webhook(event(booked, "delivered", attempt=4))
    found = read()
    assert found["last_hour"]["failed_attempts"] == {"4xx": 0, "5xx": 1, "no_answer": 0, "other": 0}
    assert found["last_day"]["calls_ended"] == [{"kind": "create", "state": "done", "count": 1}]
    assert found["last_day"]["webhooks"] == {"events": 1, "repeated": 1, "most_attempts": 4}
    assert found["last_week"]["delivered"] == 1
    assert found["last_week"]["days"][-1] == {"date": "2026-03-01", "booked": 1, "delivered": 1, "cancelled": 0}


def test_a_sum_of_days_says_where_it_stopped(run, booked, monkeypatch):
    """A day is counted to its bound; the week is the sum."""
    assert report_table._summed([10_000, 9_000]) == "19,000"
    assert report_table._summed([10_001, 9_000]) == "19,000+"


def test_what_no_account_serves_is_named(run, read, booked):
    """In the table, and in the document."""
    Delivery.objects.update(environment="production")
    assert read()["unserved"] == [{"account": "default", "environment": "production", "deliveries": 1}]
    assert row(run()[1], "default (production)") == "1"


def test_every_key_of_the_document_is_documented(read, booked):
    """They are promised."""
    text = DOCS.read_text()
    missing = [key for key in keys(read("--max-worker-age", "1s")) if f"`{key}`" not in text]
    assert missing == []


def keys(document):
    """Yield the keys of a document, down to the counts that go by the app's own words."""
    for key, value in document.items():
        yield key
        if key in {"oldest_due", "last_webhook", "last_hour", "last_day", "last_week", "webhooks", "actions"}:
            yield from keys(value)
        elif key in {"accounts", "crossed", "calls_ended", "days", "unserved"}:
            yield from (inner for entry in value for inner in entry)


def test_every_limit_is_documented():
    """With its option."""
    text = DOCS.read_text()
    assert [name for name in metrics.METRICS if f"`--max-{name.replace('_', '-')}`" not in text] == []


def test_nothing_is_crossed_without_a_limit(run, due, turnable):
    """However bad it looks."""
    Delivery.objects.update(attention="refused")
    turnable.turn(days=3)
    assert run()[0] == 0


def closed(call, ago):
    """Close the gate; it stays so after its time, until Kaspi answers a probe."""
    AccountState.objects.create(account="default", environment="sandbox", closed_until=NOON - ago)


def flagged(call, ago):
    """Let a delivery need a person."""
    Delivery.objects.update(attention="refused")


def parked(call, ago):
    """Let a webhook have come for nobody."""
    WebhookEvent.objects.create(event_id="wh_1", type="x", body="{}", state="parked", received_at=NOON)


def failing(call, ago):
    """Let a try have failed."""
    fail(call, 500)


def late(call, ago):
    """Let the call have been due for so long."""
    ApiCall.objects.update(next_attempt_at=NOON - ago)


def silent(call, ago):
    """Let the last webhook have come so long ago."""
    Delivery.objects.update(status="created")
    WebhookEvent.objects.create(event_id="wh_1", type="x", body="{}", state="applied", received_at=NOON - ago)


def unattended(call, ago):
    """Let the worker have been seen so long ago."""
    AccountState.objects.create(account="default", environment="sandbox", worker_seen_at=NOON - ago)


COUNTS = {"attention": flagged, "dead-letters": parked, "failed-attempts": failing, "closed-gates": closed}
TIMES = {"due-age": late, "silence": silent, "worker-age": unattended}


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_crosses_its_limit(run, due, name):
    """Exit code 1, and stderr says which, its value and its limit; the limit itself may be reached."""
    assert run(f"--max-{name}", "0")[0] == 0
    COUNTS[name](due, timedelta(hours=1))
    assert run(f"--max-{name}", "1")[::2] == (0, "")
    figure = name.replace("-", "_")
    assert run(f"--max-{name}", "0")[::2] == (1, f"crossed: {figure} is 1, the limit is 0\n")


@pytest.mark.parametrize("name", TIMES)
def test_a_time_crosses_its_limit(run, due, name):
    """The same, in words."""
    TIMES[name](due, timedelta(minutes=2))
    assert run(f"--max-{name}", "2m")[::2] == (0, "")
    figure = name.replace("-", "_")
    assert run(f"--max-{name}", "90s")[::2] == (1, f"crossed: {figure} is 2 min, the limit is 1 min 30 s\n")


def test_the_document_lists_what_is_crossed(run, due):
    """In one order, whatever the order of the options."""
    flagged(due, None)
    code, printed, said = run("--json", "--max-worker-age", "5m", "--max-attention", "0", "--max-dead-letters", "0")
    assert code == 1
    assert json.loads(printed)["crossed"] == [
        {"figure": "attention", "value": 1, "limit": 0},
        {"figure": "worker_age", "value": None, "limit": 300},
    ]
    assert said.splitlines()[1] == "crossed: worker_age is never, the limit is 5 min"


def test_a_worker_of_any_account_may_be_missing(run, settings):
    """The one seen longest ago counts."""
    Worker(log=lambda _line: None).run_round()
    assert run("--max-worker-age", "5m")[0] == 0
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": {"almaty": {"API_KEY": "another"}}}
    assert run("--max-worker-age", "5m")[0] == 1


def test_silence_is_none_while_nothing_is_on_its_way(run, due, turnable):
    """At night Kaspi has nothing to tell; what it was never asked for it cannot tell of either."""
    turnable.turn(days=2)
    assert run("--max-silence", "1h")[0] == 0


def test_silence_may_have_been_there_from_the_start(run, booked):
    """A webhook address that was never entered at Kaspi's."""
    assert run("--max-silence", "1h")[::2] == (1, "crossed: silence is never, the limit is 1 h\n")


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--max-silence=soon", "as in 15m"),
        ("--max-attention=-1", "must be a whole number from 0 to 10000"),
        ("--max-attention=10001", "must be a whole number from 0 to 10000"),
        ("--max-failed-attempts=5000", "must be a whole number from 0 to 4999"),
        ("--max-sadness=1", "unrecognized arguments"),
    ],
)
def test_wrong_options_end_with_2(capsys, argument, says):
    """A limit that could never be crossed is one of them."""
    with pytest.raises(SystemExit) as end:
        execute_from_command_line(["manage.py", "kaspi_report", argument])
    assert end.value.code == 2
    assert says in capsys.readouterr().err


def test_wrong_settings_end_with_2(run, settings):
    """And say what to write."""
    settings.KASPI_DELIVERY = {"API_KEYS": "x"}
    code, _printed, said = run()
    assert code == 2
    assert "API_KEY" in said


def test_a_database_that_is_away_ends_with_3(monkeypatch, capsys):
    """In one line."""

    def away():
        raise OperationalError("could not connect as kaspi with password x")

    monkeypatch.setattr(snapshot, "read", away)
    with pytest.raises(SystemExit) as end:
        execute_from_command_line(["manage.py", "kaspi_report", "--json"])
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (3, "")
    assert printed.err == "CommandError: The database cannot be read: OperationalError. Is it up, and migrated?\n"


def test_whatever_else_breaks_ends_with_3(run, monkeypatch):
    """Nothing but a crossed limit ends with 1."""
    monkeypatch.setattr(snapshot, "read", lambda: {}["+7 701 555 00 42"])
    code, _printed, said = run()
    assert code == 3
    assert "KeyError" in said
    assert "+7 701" not in said


def test_a_cache_that_is_away_costs_time_only(run, monkeypatch, caplog):
    """The tables know what it would have known."""

    def away(*_keys):
        raise ConnectionError("redis://user:password@cache")

    monkeypatch.setattr(cached.cache, "get_many", away)
    code, _printed, said = run()
    assert (code, said) == (0, "")
    assert "password" not in caplog.text


def test_it_reads_and_no_more_for_more_rows(run, booked):
    """A bounded number of statements, none of which writes."""
    with CaptureQueriesContext(connection) as few:
        run("--json")
    Order.objects.bulk_create([Order() for _ in range(30)])
    fail(ApiCall.objects.get(), *[503] * 30)
    cache.clear()
    with CaptureQueriesContext(connection) as many:
        run("--json")
    assert len(many) == len(few) <= 8
    assert {query["sql"].lstrip("(").split()[0] for query in many} == {"SELECT"}


def test_nothing_personal_is_printed(run, booked):
    """Reports go by mail and into logs."""
    Delivery.objects.update(cancel_requested_at=NOON, cancel_reason="Aigerim moved", attention="cancel_refused")
    printed = run()[1] + run("--json")[1]
    booked.refresh_from_db()
    personal = [booked.dropoff_name, booked.dropoff_phone, booked.dropoff_address, "Aigerim"]
    assert all(personal)
    assert [text for text in personal if text in printed] == []


def test_nothing_in_the_table_speaks_to_the_terminal(run):
    """A login may hold any sign, and it is shown as what it is: it neither begins a line nor colours one."""
    AccountState.objects.create(
        account="default", environment="sandbox", held_at=NOON, held_by="ann\x1b]0;x\x07\n  dead letters  0\u202e"
    )
    _code, table, _err = run()
    assert all(line.isprintable() for line in table.splitlines())
    assert r"by ann\x1b]0;x\x07\n  dead letters  0\u202e" in table
