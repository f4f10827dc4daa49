"""A worker with a failing task is not healthy: heartbeat, report, doctor, dashboard, exit code."""

import io
import json
from contextlib import nullcontext
from unittest.mock import Mock

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError, connection

from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.models import AccountState, FailedAttempt
from kaspi_delivery_django.services import db, inbox
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.stats import accounts, snapshot

pytestmark = pytest.mark.django_db(transaction=True)


def break_task(monkeypatch, error):
    monkeypatch.setattr(inbox, "apply_parked", Mock(side_effect=error))


def test_the_heartbeat_names_the_failing_task(worker, due, monkeypatch, fake_clock, caplog):
    """The worker does not count as seen, so alerts on its age fire; the other tasks run."""
    break_task(monkeypatch, ValueError("+7 701 999 8877"))
    worker.run_round()
    due.refresh_from_db()
    assert (due.state, "task failed" in caplog.text) == ("done", True)
    state = AccountState.objects.get()
    assert state.worker_trouble.startswith("parked events applied: ValueError")
    assert "999 8877" not in state.worker_trouble
    fake_clock.advance(minutes=1)
    worker._heartbeat_due = 0.0
    worker.run_round()
    assert AccountState.objects.get().worker_seen_at == state.worker_seen_at


def test_it_is_healthy_again_once_the_task_succeeds(worker, monkeypatch):
    """At the end of that round, not half a minute later."""
    with monkeypatch.context() as broken:
        break_task(broken, ValueError())
        worker.run_round()
        assert AccountState.objects.get().worker_trouble
    worker.run_round()
    state = AccountState.objects.get()
    assert (state.worker_trouble, worker.trouble) == ("", "")
    assert state.worker_seen_at is not None
    AccountState.objects.update(worker_seen_at=None)
    worker.run_round()
    assert AccountState.objects.get().worker_seen_at is None  # it is not written every second


def test_a_stop_changes_no_tasks_health(worker, monkeypatch):
    """A skipped task has neither failed nor succeeded."""
    break_task(monkeypatch, ValueError())
    worker.run_round()
    worker.stop()
    worker.run_round()
    assert "parked events applied" in worker.trouble


@pytest.mark.parametrize("is_transient", [True, False])
def test_a_deadlock_is_no_trouble_and_a_database_error_is(worker, due, monkeypatch, is_transient):
    """A deadlock is left to the next round, and calls are sent; an error ends the round, and the next reports it."""
    break_task(monkeypatch, OperationalError("database is locked" if is_transient else "no such table: x"))
    with nullcontext() if is_transient else pytest.raises(OperationalError):
        worker.run_round()
    due.refresh_from_db()
    assert (due.state == "done") is is_transient
    assert bool(worker.trouble) is not is_transient
    monkeypatch.setattr(inbox, "apply_parked", lambda **_options: worker._stopped.set() or 0)
    worker._beat()
    assert bool(AccountState.objects.get().worker_trouble) is not is_transient


@pytest.mark.parametrize("options", [["--once"], []])
@pytest.mark.parametrize("error", [ValueError, ProgrammingError])  # engines raise different ones for a missing table
def test_a_failing_task_ends_the_command_with_one(kaspi, monkeypatch, options, error):
    """So that cron sends a mail, and a supervisor shows it."""
    break_task(monkeypatch, error())
    monkeypatch.setattr(Worker, "run", Worker.run_round)  # as if it was stopped
    with pytest.raises(CommandError, match=f"parked events applied: {error.__name__}"):
        call_command("kaspi_worker", *options, stdout=io.StringIO())


def test_report_doctor_and_dashboard_show_it(worker, monkeypatch, client, admin_user):
    """With the same text."""
    break_task(monkeypatch, ValueError())
    worker.run_round()
    for options in ([], ["--json"]):
        out = io.StringIO()
        call_command("kaspi_report", *options, stdout=out)
        assert "parked events applied: ValueError" in out.getvalue()
    assert json.loads(out.getvalue())["accounts"][0]["worker_trouble"]
    found = {one.name: one for one in probes.judge_account(accounts.read()[0], snapshot.read())}
    assert (found["worker"].outcome, "ValueError" in found["worker"].message) == ("fail", True)
    client.force_login(admin_user)
    page = client.get("/admin/kaspi_delivery/delivery/dashboard/").content.decode()
    assert "parked events applied: ValueError" in page


@pytest.fixture
def tables(monkeypatch):
    """Let the connection see only these tables, as in another schema."""

    def see(names):
        monkeypatch.setattr(type(connection.introspection), "table_names", lambda *_args, **_kwargs: list(names))

    return see


@pytest.mark.parametrize("options", [[], ["--once"], ["--once", "--threads", "1"], ["--hold"], ["--release"]])
def test_without_our_tables_the_worker_prints_the_remedy_and_exits(tables, kaspi, options):
    """With 1: in the public schema of a project with tenants, or before `migrate`."""
    tables(["auth_user"])
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"lacks kaspi_delivery_\w+.*migrate.*tenant's schema") as raised:
        call_command("kaspi_worker", *options, stdout=out)
    assert (raised.value.returncode, out.getvalue()) == (1, "")


def test_a_missing_table_or_column_is_named(tables, monkeypatch):
    """The code was deployed before `migrate`."""
    assert db.missing_tables() == []
    every = [model._meta.db_table for model in apps.get_app_config("kaspi_delivery").get_models()]
    tables([name for name in every if name != FailedAttempt._meta.db_table])
    assert db.missing_tables() == ["kaspi_delivery_failedattempt"]
    tables(every)
    found = connection.introspection.get_table_description
    monkeypatch.setattr(
        type(connection.introspection),
        "get_table_description",
        lambda _self, cursor, table: [column for column in found(cursor, table) if column.name != "worker_trouble"],
    )
    assert db.missing_tables() == ["kaspi_delivery_accountstate.worker_trouble"]


def test_an_unavailable_database_lacks_no_table(kaspi, monkeypatch):
    """The worker waits for it."""
    monkeypatch.setattr(db, "missing_tables", Mock(side_effect=OperationalError("away")))
    call_command("kaspi_worker", "--once", stdout=io.StringIO())
