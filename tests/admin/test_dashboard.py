"""The dashboard: what needs somebody, how it moves, and whether everything is alive."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.admin import dashboard
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt, PendingAction, WebhookEvent
from kaspi_delivery_django.stats import recent
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/admin/kaspi_delivery/delivery/dashboard/"


@pytest.fixture
def alive(booked, deliver_webhooks, turnable):
    """Return a delivery in a system where nothing is wrong."""
    deliver_webhooks()
    AccountState.objects.update(worker_seen_at=turnable.now)
    return booked


def needs(client):
    """Return what the dashboard asks somebody for, with the address behind each."""
    page = client.get(URL)
    assert page.status_code == 200
    return {alert.words: alert.url for alert in page.context["alerts"]}


def test_it_is_linked_from_the_apps_index_and_the_lists(staff, alive):
    """For who may see deliveries."""
    client = staff()
    for page in ("/admin/kaspi_delivery/", "/admin/kaspi_delivery/delivery/"):
        assert URL in client.get(page).content.decode()


def test_it_needs_the_view_permission(client):
    """Others get a 403, and no link."""
    user = User.objects.create_user("nobody", password="x", is_staff=True)
    client.force_login(user)
    assert client.get(URL).status_code == 403


def test_strangers_are_sent_to_the_login(client):
    """As on every page of the admin."""
    assert client.get(URL).status_code == 302


def test_when_nothing_is_wrong_it_says_so(staff, alive):
    """The operator can go home."""
    assert needs(staff()) == {}
    assert "all is well" in staff().get(URL).content.decode()


def test_it_asks_twelve_queries_at_most(staff, alive):
    """With nothing in the cache; and less with it."""
    client = staff("view_personal_data")
    with CaptureQueriesContext(connection) as cold:
        client.get(URL)
    with CaptureQueriesContext(connection) as warm:
        client.get(URL)
    assert len(warm) < len(cold) <= 12


def test_a_delivery_that_needs_a_person_is_linked(staff, alive):
    """To the list of its like."""
    Delivery.objects.update(attention="too_old")
    client = staff()
    (url,) = [url for words, url in needs(client).items() if words == "It waited too long to be sent automatically: 1"]
    assert list(client.get(url).context["cl"].result_list) == [alive]


def test_an_overdue_one_is_too(staff, alive, turnable):
    """Kaspi has not kept its promise."""
    Delivery.objects.update(delivery_by=turnable.now - timedelta(hours=1))
    client = staff()
    assert list(client.get(needs(client)["1 delivery is overdue"]).context["cl"].result_list) == [alive]


@pytest.mark.parametrize("state", WebhookEvent.DEAD_LETTERS)
def test_dead_letters_are_linked(staff, alive, state):
    """Each kind to its own list."""
    WebhookEvent.objects.update(state=state)
    client = staff("view_webhookevent")
    (url,) = needs(client).values()
    assert len(client.get(url).context["cl"].result_list) == 1


def test_a_refused_action_is_linked(staff, alive, turnable):
    """What staff asked for was not done."""
    PendingAction.objects.create(name="cancel", delivery=alive, created_at=turnable.now, failed_at=turnable.now)
    client = staff("view_pendingaction")
    assert client.get(needs(client)["1 bulk action was refused"]).status_code == 200


def test_a_call_that_is_late_is_named(staff, alive, turnable):
    """It should have gone long ago."""
    ApiCall.objects.update(state="due", next_attempt_at=turnable.now - timedelta(minutes=20))
    assert "A call to Kaspi has been due for 20 min" in needs(staff())


def test_actions_that_nobody_does_are_named(staff, alive, turnable):
    """Somebody relies on them."""
    PendingAction.objects.create(name="cancel", delivery=alive, created_at=turnable.now - timedelta(minutes=20))
    client = staff("view_pendingaction")
    url = needs(client)["Actions have waited for the worker for 20 min"]
    assert len(client.get(url).context["cl"].result_list) == 1


def test_there_is_no_link_to_what_this_person_may_not_see(staff, alive):
    """The words are there all the same."""
    WebhookEvent.objects.update(state="failed")
    assert needs(staff()) == {"Events that could not be applied: 1": ""}


def test_a_full_sample_says_that_there_may_be_more(staff, alive, monkeypatch):
    """Five thousand are not all."""
    monkeypatch.setattr(recent, "SAMPLE", 1)
    assert staff().get(URL).context["webhooks"]["events"] == "1+"


def test_a_gate_whose_time_is_over_waits_for_a_probe(staff, alive, turnable):
    """It is closed until Kaspi has answered."""
    AccountState.objects.update(closed_until=turnable.now - timedelta(minutes=1), closed_reason="401")
    assert "half-open, waiting for a trial call: 401" in staff().get(URL).content.decode()


def test_kaspis_silence_is_named_while_something_is_on_its_way(staff, alive, turnable):
    """Three hours, and not before."""
    turnable.turn(hours=2)
    AccountState.objects.update(worker_seen_at=turnable.now)
    assert needs(staff()) == {}
    turnable.turn(hours=2)
    AccountState.objects.update(worker_seen_at=turnable.now)
    assert list(needs(staff())) == ["Kaspi has sent no webhook for 4 h"]
    Delivery.objects.update(status="delivered")
    assert needs(staff()) == {}


def test_a_webhook_that_never_came_is_named(staff, booked, turnable):
    """The address is missing at Kaspi."""
    AccountState.objects.update(worker_seen_at=turnable.now)
    assert list(needs(staff())) == ["Kaspi has never sent a webhook: see that it knows the address"]


def test_a_closed_gate_and_a_lost_worker_are_named(staff, alive, turnable):
    """With the reason."""
    turnable.turn(minutes=10)
    AccountState.objects.update(closed_until=turnable.now + timedelta(minutes=5), closed_reason="401")
    assert list(needs(staff())) == [
        "The circuit breaker of default is open: 401",
        "No worker is seen for default: retries wait until one runs",
    ]


def test_the_figures_are_there_as_text(staff, alive, drain, post_webhook, turnable):
    """Each chart is a table too."""
    post_webhook(event(alive, "delivered", attempt=2))
    Delivery.objects.update(created_at=turnable.now - timedelta(hours=30, minutes=5), status_at=turnable.now)
    call = ApiCall.objects.get()
    ApiCall.objects.update(updated_at=turnable.now)
    FailedAttempt.objects.create(call=call, kind="create", at=turnable.now, http_status=503)
    FailedAttempt.objects.create(call=call, kind="create", at=turnable.now)
    page = staff().get(URL).content.decode()
    for text in ("30 h 5 min", "create: 503", "create: no answer", "create: done", "Delivered"):
        assert text in page


def test_a_status_that_is_new_to_us_is_counted_as_other(staff, alive):
    """The set of words is open."""
    alive.history.update(to_status="teleported")
    page = staff().get(URL)
    assert [row["label"] for row in page.context["table"]][-1] == "Other"


def test_reasons_are_for_who_may_see_personal_data(staff, alive, turnable):
    """Somebody may have typed a name."""
    Delivery.objects.update(cancel_requested_at=turnable.now, cancel_reason="Asel changed her mind")
    assert "Asel" not in staff().get(URL).content.decode()
    assert "Asel" in staff("view_personal_data").get(URL).content.decode()


def test_a_reason_that_nobody_gave_is_said(staff, alive, turnable):
    """Not an empty line."""
    Delivery.objects.update(cancel_requested_at=turnable.now)
    assert "no reason given" in staff("view_personal_data").get(URL).content.decode()


def test_no_script_and_no_style_is_inside_the_page(staff, alive):
    """A strict Content-Security-Policy would stop them."""
    page = staff("view_personal_data").get(URL).content.decode()
    assert "style=" not in page
    assert "<style" not in page
    assert all(" src=" in tag for tag in page.split("<script")[1:])


def test_columns_share_a_scale():
    """The highest fills the room, half of it half."""
    high, low, empty = dashboard.chart_columns([("a", {"x": 3, "y": 1}), ("b", {"x": 2, "y": 0}), ("c", {})])
    room = dashboard.HEIGHT - dashboard.TOP - dashboard.BOTTOM
    assert sum(piece.height for piece in high.pieces) == room
    assert [piece.height for piece in low.pieces] == [room / 2]
    assert (low.total, empty.total, list(empty.pieces)) == (2, 0, [])
    assert high.x < high.middle < high.x + high.width < low.x


def test_what_is_not_zero_can_be_seen():
    """One of a thousand has its two units, and nothing leaves the chart."""
    (column,) = dashboard.chart_columns([("a", {"x": 1000, "y": 1})])
    assert min(piece.height for piece in column.pieces) >= dashboard.SHORTEST
    assert min(piece.y for piece in column.pieces) >= dashboard.TOP
    assert (dashboard.shares(1, 1000), dashboard.shares(0, 10), dashboard.shares(0, 0)) == (dashboard.SHORTEST, 0, 0)
    assert dashboard.chart_columns([]) == []


def test_an_announced_sunset_is_named(staff, alive, turnable):
    """So that somebody upgrades before that day."""
    AccountState.objects.update(announcement="Sunset: Thu, 31 Dec 2026", announced_at=turnable.now)
    [words] = needs(staff())
    assert "Sunset: Thu, 31 Dec 2026" in words
