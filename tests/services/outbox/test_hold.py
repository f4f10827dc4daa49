"""A hold of all sending: no runner sends until it is released, and nothing is lost."""

import io
import json

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command

from kaspi_delivery_django.contrib import celery
from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery
from kaspi_delivery_django.services.outbox import circuit_breaker, claims, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.stats import accounts, snapshot
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)

STATES = "/admin/kaspi_delivery/accountstate/"


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def held(kaspi):
    circuit_breaker.hold_sending(by="aliya")
    kaspi.requests.clear()


@pytest.mark.parametrize("account", ["default", "another"])
def test_no_runner_sends_while_it_is_held(held, worker, due, kaspi, account):
    """The call stays due until the release, also if its account was added to the settings since and has no row."""
    AccountState.objects.update(account=account)
    sender.send_inline(due.pk)
    celery.send_call(due.pk)
    worker.run_until_idle()
    Worker(log=lambda _line: None, threads=4).run_until_idle()
    assert claims.claim_many([due.pk]) == ([], [due.pk])  # by a worker that selected it before
    assert kaspi.requests == []
    assert ApiCall.objects.get(pk=due.pk).state == "due"
    assert circuit_breaker.release_sending()
    worker.run_until_idle()
    assert len(kaspi.deliveries) == 1


def test_cancels_and_refreshes_are_held_and_webhooks_are_applied(worker, booked, kaspi, post_webhook):
    """A restored backup may have any call, and Kaspi sends its events once."""
    circuit_breaker.hold_sending()
    refresh_delivery(booked)
    cancel_delivery(booked)
    kaspi.requests.clear()
    worker.run_round()
    assert kaspi.requests == []
    assert post_webhook(event(booked, "accepted")).status_code == 200
    assert Delivery.objects.get().status == "accepted"


def test_an_answer_that_arrives_meanwhile_does_not_release(due, kaspi, drain):
    """Nor does a breaker that closes."""
    claim = claims.claim(due.pk)
    circuit_breaker.hold_sending()
    sender.record(claim, sender.transmit(claim))
    assert circuit_breaker.is_held()


def test_a_second_hold_keeps_the_first(kaspi, fake_clock):
    """A second release reports that sending was not held."""
    assert "held" in run("kaspi_worker", "--hold")
    before = AccountState.objects.get().held_at
    fake_clock.advance(hours=1)
    run("kaspi_worker", "--hold")
    assert AccountState.objects.get().held_at == before
    assert run("kaspi_worker", "--release") == "Sending is released.\n"
    assert run("kaspi_worker", "--release") == "Sending was not held.\n"
    assert not circuit_breaker.is_held()


def test_the_report_and_the_doctor_show_the_hold(held):
    """With its time and name."""
    assert "held since 2026-03-01 12:00:00 UTC by aliya" in run("kaspi_report")
    [account] = json.loads(run("kaspi_report", "--json"))["accounts"]
    assert (account["held_at"], account["held_by"]) == ("2026-03-01T12:00:00+00:00", "aliya")
    found = {one.name: one for one in probes.judge_account(accounts.read()[0], snapshot.read())}
    assert found["hold"].outcome == "fail"
    assert "kaspi_worker --release" in found["hold"].todo


def test_staff_with_the_permission_hold_and_release_in_the_admin(worker, client, due, kaspi):
    """The dashboard shows it, and both are recorded; without it neither viewing nor a crafted POST is enough."""
    user = User.objects.create_user("aliya", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_accountstate", "view_delivery"]))
    client.force_login(user)
    worker._beat()
    state = AccountState.objects.get()
    assert "do/hold/" not in client.get(f"{STATES}{state.pk}/change/").content.decode()
    assert client.post(f"{STATES}{state.pk}/do/hold/").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="hold_sending"))
    assert client.get(f"{STATES}{state.pk}/do/other/").status_code == 404
    assert "do/hold/" in client.get(f"{STATES}{state.pk}/change/").content.decode()
    page = client.post(f"{STATES}{state.pk}/do/hold/", follow=True).content.decode()
    assert "all sending is held" in page
    assert AccountState.objects.get().held_by == "aliya"
    assert "Nothing is sent to Kaspi" in client.get("/admin/kaspi_delivery/delivery/dashboard/").content.decode()
    assert "do/release/" in client.get(f"{STATES}{state.pk}/change/").content.decode()
    client.post(f"{STATES}{state.pk}/do/release/", follow=True)
    assert not circuit_breaker.is_held()
    assert LogEntry.objects.filter(object_id=str(state.pk)).count() == 2
