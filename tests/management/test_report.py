"""The report: the figures for staff and for programs, and the exit code that says that a limit is crossed."""

import json
from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.core.cache import cache
from django.core.management import execute_from_command_line
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.management.commands import kaspi_report
from kaspi_delivery_django.management.commands.kaspi_report import format_duration, seconds
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt, WebhookEvent
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.stats import metrics, report, snapshot
from tests.conftest import NOON, event
from tests.shop.models import Order

rows = pytest.mark.django_db(transaction=True)

DOCS = Path(__file__).parent.parent.parent / "docs" / "running.md"


@pytest.fixture
def make_report(run, fake_clock):
    """Run the report; return its exit code, what it printed, and its errors."""
    return lambda *arguments: run("kaspi_report", *arguments)


@pytest.fixture
def read(make_report):
    """Run the report with --json; return the document."""
    return lambda *arguments: json.loads(make_report("--json", *arguments)[1])


def row(table, label):
    """Return what the table says beside a label."""
    [line] = [line for line in table.splitlines() if line.strip().startswith(f"{label}  ")]
    return line.strip().removeprefix(label).strip()


def fail(call, *statuses, at=NOON):
    """Let tries of this call have failed with these statuses."""
    for status in statuses:
        FailedAttempt.objects.create(call=call, kind=call.kind, at=at, http_status=status)


def note(**state):
    """Write down the state of the account."""
    AccountState.objects.create(account="default", environment="sandbox", **state)


@rows
def test_the_table_shows_the_current_state(make_report, booked, drain, post_webhook, fake_clock):
    """What is on its way, what needs attention, how long ago the last webhook was, what failed, the open breaker."""
    drain()
    Delivery.objects.update(attention="order_edited")
    post_webhook(event(booked, "accepted"))
    fail(ApiCall.objects.get(), 503, 502, None, 401)
    AccountState.objects.update(closed_until=NOON + timedelta(minutes=5), closed_reason="a bad key")
    fake_clock.advance(minutes=3, seconds=5)
    code, table, err = make_report()
    assert (code, err) == (0, "")
    assert table.startswith("Kaspi Delivery, 2026-03-01 12:03:05 UTC\n")
    assert (row(table, "accepted"), row(table, "order_edited")) == ("1", "1")
    assert row(table, "last one") == "3 min 5 s ago"
    assert [row(table, label) for label in ("booked", "delivered", "cancelled")] == ["1", "0", "0"]
    assert [row(table, label) for label in ("4xx", "5xx", "no answer", "other")] == ["1", "2", "1", "0"]
    assert row(table, "default (sandbox) worker") == "seen 3 min 5 s ago"
    assert row(table, "default (sandbox) breaker") == "open until 2026-03-01 12:05:00 UTC: a bad key"


@rows
def test_the_table_of_a_new_shop_says_what_never_was(make_report):
    """And leaves out what has no rows."""
    table = make_report()[1]
    assert (row(table, "last one"), row(table, "default (sandbox) worker")) == ("never", "never seen")
    assert "refused  " not in table
    assert "Calls that ended" not in table


def test_counts_that_stopped_at_their_bound_have_a_plus_sign():
    """Counting stops at 10,000, and so does a sum of such counts; a week is a sum of days."""
    assert [kaspi_report.count(number) for number in (0, 10_000, 10_001)] == ["0", "10,000", "10,000+"]
    assert report.total({"parked": 6000, "failed": 6000}) == 10_001
    assert [kaspi_report._summed([number, 9_000]) for number in (10_000, 10_001)] == ["19,000", "19,000+"]


@rows
def test_the_document_is_in_seconds_and_utc(read, due, fake_clock):
    """For programs: null for never, zone and all."""
    fake_clock.advance(minutes=2)
    found = read()
    assert datetime.fromisoformat(found["read_at"]) == clock.now()
    assert found["read_at"].endswith("+00:00")
    assert found["oldest_due"]["age_seconds"] == 180
    assert found["last_webhook"] == {"at": None, "age_seconds": None}
    assert found["deliveries"]["not_booked"] == 1


@rows
def test_the_document_has_the_last_hour_day_and_week(read, booked, post_webhook):
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


@rows
def test_deliveries_that_no_account_serves_are_named(make_report, read, booked):
    """In the table, and in the document."""
    Delivery.objects.update(environment="production")
    assert read()["unserved"] == [{"account": "default", "environment": "production", "deliveries": 1}]
    assert row(make_report()[1], "default (production)") == "1"


@rows
def test_every_key_of_the_document_and_every_limit_is_documented(read, booked):
    """They are promised."""
    options = [f"--max-{name.replace('_', '-')}" for name in metrics.METRICS]
    text = DOCS.read_text()
    missing = [word for word in (*keys(read("--max-worker-age", "1s")), *options) if f"`{word}`" not in text]
    assert missing == []


def keys(document):
    """Yield the keys of a document, down to the counts that go by the app's own words."""
    for key, value in document.items():
        yield key
        if key in {"oldest_due", "last_webhook", "last_hour", "last_day", "last_week", "webhooks", "actions"}:
            yield from keys(value)
        elif key in {"accounts", "crossed", "calls_ended", "days", "unserved"}:
            yield from (inner for entry in value for inner in entry)


def flag():
    """Let a delivery need attention."""
    Delivery.objects.update(attention="refused")


def receive(state, at=NOON):
    """Let a webhook have come."""
    WebhookEvent.objects.create(event_id="wh_1", type="x", body="{}", state=state, received_at=at)


COUNTS = {
    "attention": flag,
    "dead-letters": lambda: receive("parked"),
    "failed-attempts": lambda: fail(ApiCall.objects.get(), 500),
    "closed-gates": lambda: note(closed_until=NOON - timedelta(hours=1)),
}
AGO = NOON - timedelta(minutes=2)
TIMES = {
    "due-age": lambda: ApiCall.objects.update(next_attempt_at=AGO),
    "silence": lambda: (Delivery.objects.update(status="created"), receive("applied", AGO)),
    "worker-age": lambda: note(worker_seen_at=AGO),
}


@rows
@pytest.mark.parametrize(
    ("name", "limits", "says"),
    [
        *((name, ("1", "0"), "1, the limit is 0") for name in COUNTS),
        *((name, ("2m", "90s"), "2 min, the limit is 1 min 30 s") for name in TIMES),
    ],
)
def test_a_metric_crosses_its_limit(make_report, due, name, limits, says):
    """Exit code 1, and stderr says which, its value and its limit; the limit itself may be reached."""
    {**COUNTS, **TIMES}[name]()
    assert make_report(f"--max-{name}", limits[0])[::2] == (0, "")
    assert make_report(f"--max-{name}", limits[1])[::2] == (1, f"crossed: {name.replace('-', '_')} is {says}\n")
    assert make_report()[0] == 0


@rows
def test_the_document_lists_the_limits_that_are_crossed(make_report, due):
    """In one order, whatever the order of the options."""
    flag()
    code, printed, err = make_report(
        "--json", "--max-worker-age", "5m", "--max-attention", "0", "--max-dead-letters", "0"
    )
    assert code == 1
    assert json.loads(printed)["crossed"] == [
        {"figure": "attention", "value": 1, "limit": 0},
        {"figure": "worker_age", "value": None, "limit": 300},
    ]
    assert err.splitlines()[1] == "crossed: worker_age is never, the limit is 5 min"


@rows
def test_a_worker_of_any_account_may_be_missing(make_report, configure):
    """The one seen longest ago counts."""
    Worker(log=lambda _line: None).run_round()
    assert make_report("--max-worker-age", "5m")[0] == 0
    configure(ACCOUNTS={"almaty": {"API_KEY": "another"}})
    assert make_report("--max-worker-age", "5m")[0] == 1


@rows
def test_silence_counts_from_the_booking_of_a_parcel(make_report, due, drain, fake_clock):
    """Kaspi reports nothing of what was never booked; a webhook address may be missing from the start."""
    fake_clock.advance(days=2)
    assert make_report("--max-silence", "1h")[0] == 0
    drain()
    Delivery.objects.update(status="created")
    assert make_report("--max-silence", "1h")[::2] == (1, "crossed: silence is never, the limit is 1 h\n")


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
    assert (end.value.code, says in capsys.readouterr().err) == (2, True)


@rows
def test_wrong_settings_end_with_2(make_report, settings):
    """And say what to write."""
    settings.KASPI_DELIVERY = {"API_KEYS": "x"}
    code, _printed, err = make_report()
    assert (code, "API_KEY" in err) == (2, True)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OperationalError("could not connect as kaspi with password x"),
            "CommandError: The database cannot be used: OperationalError. Check DATABASES, and run migrate.\n",
        ),
        (KeyError("+7 701 555 00 42"), "CommandError: The statistics cannot be read: KeyError"),
    ],
)
def test_whatever_breaks_ends_with_3(monkeypatch, capsys, error, says):
    """In one line, without its text: nothing but a crossed limit ends with 1."""
    monkeypatch.setattr(snapshot, "read", Mock(side_effect=error))
    with pytest.raises(SystemExit) as end:
        execute_from_command_line(["manage.py", "kaspi_report", "--json"])
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (3, "")
    assert printed.err.startswith(says)
    assert str(error) not in printed.err


@rows
def test_it_reads_and_no_more_for_more_rows(make_report, booked):
    """A bounded number of statements, none of which writes."""
    with CaptureQueriesContext(connection) as few:
        make_report("--json")
    Order.objects.bulk_create([Order() for _ in range(30)])
    fail(ApiCall.objects.get(), *[503] * 30)
    cache.clear()
    with CaptureQueriesContext(connection) as many:
        make_report("--json")
    assert len(many) == len(few) <= 8
    assert {query["sql"].lstrip("(").split()[0] for query in many} == {"SELECT"}


@rows
def test_nothing_personal_is_printed(make_report, booked):
    """Reports go by mail and into logs."""
    Delivery.objects.update(cancel_requested_at=NOON, cancel_reason="Aigerim moved", attention="cancel_refused")
    printed = make_report()[1] + make_report("--json")[1]
    booked.refresh_from_db()
    personal = [booked.dropoff_name, booked.dropoff_phone, booked.dropoff_address, "Aigerim"]
    assert all(personal)
    assert [text for text in personal if text in printed] == []


@rows
def test_no_line_of_the_table_controls_the_terminal(make_report):
    """A login may hold any sign, and it is shown as what it is: it neither begins a line nor colours one."""
    note(held_at=NOON, held_by="ann\x1b]0;x\x07\n  dead letters  0\u202e")
    _code, table, _err = make_report()
    assert all(line.isprintable() for line in table.splitlines())
    assert r"by ann\x1b]0;x\x07\n  dead letters  0\u202e" in table


@pytest.mark.parametrize(("text", "length_s"), [("90s", 90), ("15m", 900), ("3h", 10_800), ("365d", 31_536_000)])
def test_a_duration_is_a_number_and_a_unit(text, length_s):
    """Seconds, minutes, hours or days."""
    assert seconds(text) == length_s


@pytest.mark.parametrize(
    "text", ["", "15", "m", "-1m", "0s", "1.5h", "1h30m", "15 m", "15M", "٣h", "366d", "9" * 400 + "s"]
)
def test_anything_else_says_how_to_write_one(text):
    """Nor may it be longer than a year."""
    with pytest.raises(ArgumentTypeError, match="as in 15m"):
        seconds(text)


def test_a_duration_is_printed_in_its_two_greatest_parts():
    """Of days, hours, minutes and seconds."""
    words = {0.9: "0 s", 59: "59 s", 900: "15 min", 930.5: "15 min 30 s", 86_700: "1 d 5 min", 97_261: "1 d 3 h"}
    assert {length_s: format_duration(length_s) for length_s in words} == words
