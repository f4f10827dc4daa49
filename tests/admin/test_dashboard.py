"""The dashboard: what needs somebody, how it moves, and whether everything is alive; the rows behind each number."""

import re
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from kaspi_delivery_django import services
from kaspi_delivery_django.admin import dashboard, display
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt, PendingAction, WebhookEvent
from kaspi_delivery_django.stats import alerts, days, recent, snapshot
from tests.conftest import event
from tests.shop.models import Order

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
    """With nothing in the cache; and as many with it, of which one counts today alone."""
    client = staff("view_personal_data")
    with CaptureQueriesContext(connection) as cold:
        client.get(URL)
    with CaptureQueriesContext(connection) as warm:
        client.get(URL)
    assert len(warm) == len(cold) <= 12


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


def test_a_capped_count_has_the_plural_of_what_is_shown(alive):
    """10,000+ in Russian is not the singular of 10,001."""
    many = SimpleNamespace(attention={}, overdue=snapshot.MAX_COUNT + 1)
    with translation.override("ru"):
        (alert,) = alerts._of_deliveries(many)
    assert "доставок" in alert.words


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
    assert staff().get(URL).context["webhooks"]["events"].count == "1+"


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
    [(words, url)] = needs(staff("view_webhookevent")).items()
    assert words.startswith("Kaspi has sent no webhook for 4 h, though parcels are on their way: check")
    assert url == "/admin/kaspi_delivery/webhookevent/"
    Delivery.objects.update(status="delivered")
    assert needs(staff()) == {}


def test_a_webhook_that_never_came_is_named(staff, booked, turnable):
    """The address is missing at Kaspi."""
    AccountState.objects.update(worker_seen_at=turnable.now)
    [words] = needs(staff())
    assert words.startswith("Kaspi has never sent a webhook: enter")


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


def test_bars_share_a_scale_and_what_is_not_zero_can_be_seen():
    """Half of the most is half as long, and one of a thousand has its two units."""
    assert [dashboard.share(count, 1000) for count in (1000, 500, 1, 0)] == [100, 50, dashboard.SHORTEST, 0]
    assert dashboard.share(0, 0) == 0


@pytest.mark.parametrize(
    ("language", "shown"), [("en", "12,345+"), ("ru", "12\N{NO-BREAK SPACE}345+"), ("kk", "12\N{NO-BREAK SPACE}345+")]
)
def test_a_great_number_is_written_as_the_language_does(staff, alive, monkeypatch, settings, language, shown):
    """In the table of days, however the shop's own pages write numbers."""
    settings.LANGUAGE_CODE = language
    monkeypatch.setattr(days, "_count", lambda dates: {day: dict.fromkeys(days.KINDS, 12_346) for day in dates})
    monkeypatch.setattr(snapshot, "MAX_COUNT", 12_345)
    page = staff().get(URL)
    assert {bar.count for _label, bars in page.context["days"] for bar in bars} == {shown}


def test_today_comes_first(staff, alive):
    """On a phone the first row is what is looked for."""
    labels = [label for label, _bars in staff().get(URL).context["days"]]
    assert labels[:3] == ["Today", "Yesterday", "27 February"]
    assert len(labels) == 7


def test_a_parcel_is_counted_and_not_its_steps(staff, alive, post_webhook):
    """Its five statuses are one booking and one arrival."""
    for number, status in enumerate(("accepted", "in_transit", "delivered")):
        post_webhook(event(alive, status, event_id=f"wh_{number}"))
    _label, bars = staff().get(URL).context["days"][0]
    assert [bar.count for bar in bars] == ["1", "1", "0"]


def numbers(page):
    """Return the linked numbers of the page, and the lists behind them."""
    return re.findall(r'<td[^>]*><a href="([^"]+)" aria-label="[^"]+">([^<]+)</a>', page.content.decode())


@pytest.fixture
def eventful(alive, drain, post_webhook, turnable):
    """Let something of each kind have happened, today and yesterday, more than one of some."""
    for reason in ("out of stock", "out of stock", ""):
        order = Order.objects.create()
        drain()
        other = Delivery.objects.get(object_id=str(order.pk))
        services.cancel_delivery(other, reason=reason)
    drain()
    turnable.turn(days=1)
    for number, status in enumerate(("accepted", "in_transit", "delivered")):
        post_webhook(event(alive, status, event_id=f"wh_{number}", attempt=number + 1))
    Order.objects.create()
    drain()
    Order.objects.create()
    call = ApiCall.objects.filter(kind="create").first()
    ApiCall.objects.filter(state="done").update(updated_at=turnable.now)
    for http_status in (503, 503, 401, None):
        FailedAttempt.objects.create(call=call, kind=call.kind, at=turnable.now, http_status=http_status)
    PendingAction.objects.create(name="cancel", delivery=alive, created_at=turnable.now)
    Delivery.objects.filter(cancel_requested_at__isnull=False).update(cancel_requested_at=turnable.now)


def test_each_number_leads_to_its_rows(staff, eventful):
    """The list has exactly as many as were counted."""
    tables = ("apicall", "failedattempt", "webhookevent", "pendingaction")
    client = staff("view_personal_data", *(f"view_{table}" for table in tables))
    found = numbers(client.get(URL))
    for url, count in found:
        assert str(client.get(url.replace("&amp;", "&")).context["cl"].result_count) == count, url
    parameters = {name for url, _count in found for name in parse_qs(urlsplit(url.replace("&amp;", "&")).query)}
    assert parameters == {"day", "status", "state", "ended", "answer", "since", "repeated", "reason"}


def test_a_reason_is_not_in_an_address(staff, eventful):
    """It may name people, and addresses are logged."""
    client = staff("view_personal_data")
    [url] = [url for url, count in numbers(client.get(URL)) if "reason" in url and count == "2"]
    assert "stock" not in url
    assert client.get(url).context["cl"].result_count == 2
    assert staff().get(url).context["cl"].result_count == Delivery.objects.count()


@pytest.mark.parametrize(
    ("table", "query"),
    [
        ("delivery", {"day": "booked:2026-03-02"}),
        ("delivery", {"day": "booked:0001-01-01"}),
        ("delivery", {"day": "lost:2026-03-01"}),
        ("delivery", {"day": "booked:today"}),
        ("delivery", {"reason": "0123456789abcdef"}),
        ("delivery", {"saved_for": "moon/default"}),
        ("apicall", {"ended": "create:due"}),
        ("failedattempt", {"answer": "create:99999"}),
        ("failedattempt", {"answer": "create:\u0663\u0663\u0663"}),
        ("webhookevent", {"repeated": "yes"}),
    ],
)
def test_an_address_that_no_number_has_shows_all(staff, alive, table, query):
    """As with every other filter."""
    client = staff(f"view_{table}", "view_personal_data")
    shown = client.get(f"/admin/kaspi_delivery/{table}/", query).context["cl"]
    assert shown.result_count == shown.model.objects.count()


def test_todays_parcels_can_be_chosen_beside_the_list(staff, alive):
    """The filters behind other numbers are shown while they are used."""
    lists = staff().get("/admin/kaspi_delivery/delivery/").context["cl"]
    titles = {str(one.title): [label for _key, label in one.lookup_choices] for one in lists.filter_specs}
    assert titles["day"] == ["Booked: today", "Delivered: today", "Cancelled: today"]
    assert not {"cancel reason", "saved for"} & set(titles)


def test_deliveries_of_another_environment_are_explained(staff, alive):
    """With what it is set to, and what to do."""
    Delivery.objects.update(environment="production")
    client = staff()
    [(words, url)] = needs(client).items()
    assert words.startswith("1 delivery was saved for environment production; this site is set to sandbox, so Kaspi")
    assert list(client.get(url).context["cl"].result_list) == [alive]


def test_deliveries_of_an_account_that_is_gone_are_explained(staff, alive, turnable):
    """Its key is not there."""
    Delivery.objects.update(account="almaty")
    client = staff()
    [(words, url)] = needs(client).items()
    assert words.startswith(f"1 delivery was saved for account {display.isolated('almaty')}, which the")
    assert list(client.get(url).context["cl"].result_list) == [alive]


def test_an_announced_sunset_is_named(staff, alive, turnable):
    """So that somebody upgrades before that day."""
    AccountState.objects.update(announcement="Sunset: Thu, 31 Dec 2026", announced_at=turnable.now)
    [words] = needs(staff())
    assert "Sunset: Thu, 31 Dec 2026" in words
