"""The dashboard: alerts, the parcels of the last days, and accounts; the rows behind each number."""

import html
import re
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.utils import translation

from kaspi_delivery_django import services
from kaspi_delivery_django.admin import dashboard
from kaspi_delivery_django.formats import isolated
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt, PendingAction, WebhookEvent
from kaspi_delivery_django.stats import alerts, days, recent, snapshot
from tests.admin.conftest import FOLDER, LIST, VIEWS, found, statements_of
from tests.conftest import NOON, event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

URL = f"{LIST}dashboard/"
STATUSES = ("accepted", "in_transit", "delivered")


@pytest.fixture
def alive(booked, drain, deliver_webhooks):
    """Return a delivery in a system where nothing is wrong."""
    drain()
    deliver_webhooks()
    return booked


def alerts_of(client):
    """Return the words of the dashboard's alerts, with the address behind each."""
    page = client.get(URL)
    assert page.status_code == 200
    return {alert.words: alert.url for alert in page.context["alerts"]}


def text_of(client):
    """Return the dashboard as text."""
    return client.get(URL).content.decode()


def test_it_needs_the_view_permission(client, staff, booked):
    """The app's index and the list link it; it and the list answer users who cannot view deliveries with 403."""
    assert client.get(URL).status_code == 302  # to the login
    for page in (f"{FOLDER}/", LIST):
        assert URL in staff().get(page).content.decode()
    User.objects.get().user_permissions.clear()
    assert client.get(URL).status_code == client.get(LIST).status_code == 403


def test_when_nothing_is_wrong_there_is_no_alert(staff, alive):
    """It says so. No script and no style is inside the page: a strict Content-Security-Policy would stop them."""
    assert alerts_of(staff()) == {}
    page = text_of(staff("view_personal_data"))
    assert "all is well" in page
    assert not [text for text in ("style=", "<style") if text in page]
    assert all(" src=" in tag for tag in page.split("<script")[1:])


def test_it_costs_twelve_queries_at_most(staff, alive):
    """With nothing in the cache; and as many with it, of which one counts today alone."""
    client = staff("view_personal_data")
    cold, warm = (statements_of(lambda: client.get(URL)) for _ in range(2))
    assert len(warm) == len(cold) <= 12


AGO = NOON - timedelta(minutes=20)
PRODUCTION = "1 delivery was saved for environment production; this site is set to sandbox, so Kaspi"
GONE = f"1 delivery was saved for account {isolated('almaty')}, which the"


@pytest.mark.parametrize(
    ("model", "columns", "words"),
    [
        (Delivery, {"attention": "too_old"}, "It waited too long to be sent automatically: 1"),
        (Delivery, {"delivery_by": AGO}, "1 delivery is overdue"),
        (Delivery, {"environment": "production"}, PRODUCTION),
        (Delivery, {"account": "almaty"}, GONE),
        (ApiCall, {"state": "due", "next_attempt_at": AGO}, "A call to Kaspi has been due for 20 min"),
        *((WebhookEvent, {"state": state}, "Events ") for state in WebhookEvent.DEAD_LETTERS),
        (PendingAction, {"failed_at": NOON}, "1 bulk action was refused"),
        (PendingAction, {"created_at": AGO}, "Actions have waited for the worker for 20 min"),
    ],
)
def test_an_alert_leads_to_its_rows(staff, alive, model, columns, words):
    """Users who cannot view them read the words all the same."""
    if model is PendingAction:
        PendingAction.objects.create(**{"name": "cancel", "delivery": alive, "created_at": NOON, **columns})
    model.objects.update(**columns)
    client = staff(*VIEWS)
    [(shown, url)] = alerts_of(client).items()
    assert shown.startswith(words)
    assert found(client, url) == [model.objects.get()]
    if model is not Delivery:
        assert alerts_of(staff()) == {shown: ""}


def test_a_capped_count_has_the_plural_of_what_is_shown():
    """10,000+ in Russian is not the singular of 10,001."""
    many = SimpleNamespace(attention={}, overdue=snapshot.MAX_COUNT + 1)
    with translation.override("ru"):
        (alert,) = alerts._of_deliveries(many)
    assert "доставок" in alert.words


def test_accounts_are_watched(staff, alive, fake_clock):
    """An open circuit breaker, a lost worker, an announced sunset; a breaker is half-open once its time is over."""
    fake_clock.advance(minutes=10)
    AccountState.objects.update(closed_until=fake_clock.now + timedelta(minutes=5), closed_reason="401")
    assert list(alerts_of(staff())) == [
        "The circuit breaker of default is open: 401",
        "No worker is seen for default: retries wait until one runs",
    ]
    past = fake_clock.now - timedelta(minutes=1)
    AccountState.objects.update(
        closed_until=past, worker_seen_at=fake_clock.now, announcement="Sunset: 2026-12-31", announced_at=fake_clock.now
    )
    assert "half-open, waiting for a trial call: 401" in text_of(staff())
    assert any("Sunset: 2026-12-31" in words for words in alerts_of(staff()))


def test_kaspis_silence_is_named_while_parcels_are_on_their_way(staff, booked, drain, deliver_webhooks, fake_clock):
    """After three hours, and not before; or if no webhook ever came."""
    drain()
    [words] = alerts_of(staff())
    assert words.startswith("Kaspi has never sent a webhook: enter")
    deliver_webhooks()
    fake_clock.advance(hours=2)
    AccountState.objects.update(worker_seen_at=fake_clock.now)
    assert alerts_of(staff()) == {}
    fake_clock.advance(hours=2)
    AccountState.objects.update(worker_seen_at=fake_clock.now)
    [(words, url)] = alerts_of(staff("view_webhookevent")).items()
    assert words.startswith("Kaspi has sent no webhook for 4 h, though parcels are on their way: check")
    assert url == f"{FOLDER}/webhookevent/"
    Delivery.objects.update(status="delivered")
    assert alerts_of(staff()) == {}


def test_the_figures_are_there_as_text(staff, alive, post_webhook, fake_clock, monkeypatch):
    """Each chart is a table too; a full sample says that there may be more."""
    post_webhook(event(alive, "delivered", attempt=2))
    Delivery.objects.update(created_at=fake_clock.now - timedelta(hours=30, minutes=5), status_at=fake_clock.now)
    call = ApiCall.objects.get()
    ApiCall.objects.update(updated_at=fake_clock.now)
    for http_status in (503, None):
        FailedAttempt.objects.create(call=call, kind="create", at=fake_clock.now, http_status=http_status)
    page = text_of(staff())
    for text in ("30 h 5 min", "create: 503", "create: no answer", "create: done", "Delivered"):
        assert text in page
    monkeypatch.setattr(recent, "SAMPLE", 1)
    assert staff().get(URL).context["webhooks"]["events"].count == "1+"


def test_reasons_are_for_users_who_can_see_personal_data(staff, alive, fake_clock):
    """They may name people; none is no empty line."""
    Delivery.objects.update(cancel_requested_at=fake_clock.now)
    assert "no reason given" in text_of(staff("view_personal_data"))
    Delivery.objects.update(cancel_reason="Asel changed her mind")
    assert "Asel" not in text_of(staff())
    assert "Asel" in text_of(staff("view_personal_data"))


def test_bars_share_a_scale_and_what_is_not_zero_can_be_seen():
    """Half of the most is half as long, and one of a thousand has its two units."""
    assert [dashboard.share(count, 1000) for count in (1000, 500, 1, 0)] == [100, 50, dashboard.SHORTEST, 0]
    assert dashboard.share(0, 0) == 0


@pytest.mark.parametrize(("language", "shown"), [("en", "12,345+"), ("kk", "12\N{NO-BREAK SPACE}345+")])
def test_a_great_number_is_written_as_the_language_does(staff, booked, monkeypatch, settings, language, shown):
    """In the table of days, however the shop's own pages write numbers."""
    settings.LANGUAGE_CODE = language
    monkeypatch.setattr(days, "_count", lambda dates: {day: dict.fromkeys(days.KINDS, 12_346) for day in dates})
    monkeypatch.setattr(snapshot, "MAX_COUNT", 12_345)
    assert {bar.count for _label, bars in staff().get(URL).context["days"] for bar in bars} == {shown}


def test_todays_parcels_come_first(staff, alive, post_webhook):
    """Of the week; five statuses of a parcel are one booking and one arrival. Today's can be chosen in the list."""
    for number, status in enumerate(STATUSES):
        post_webhook(event(alive, status, event_id=f"wh_{number}"))
    shown = staff().get(URL).context["days"]
    assert [label for label, _bars in shown][:3] == ["Today", "Yesterday", "27 February"]
    assert len(shown) == 7
    assert [bar.count for bar in shown[0][1]] == ["1", "1", "0"]
    specs = staff().get(LIST).context["cl"].filter_specs
    titles = {str(one.title): [label for _key, label in one.lookup_choices] for one in specs}
    assert titles["day"] == ["Booked: today", "Delivered: today", "Cancelled: today"]
    assert not {"cancel reason", "saved for"} & set(titles)


# The rows behind the numbers


@pytest.fixture
def eventful(alive, drain, post_webhook, fake_clock):
    """Let something of each kind have happened, today and yesterday, more than one of some."""
    cancelled = [Order.objects.create() for _ in range(3)]
    drain()
    for order, reason in zip(cancelled, ("out of stock", "out of stock", ""), strict=True):
        services.cancel_delivery(Delivery.objects.get(object_id=str(order.pk)), reason=reason)
    drain()
    fake_clock.advance(days=1)
    for number, status in enumerate(STATUSES):
        post_webhook(event(alive, status, event_id=f"wh_{number}", attempt=number + 1))
    Order.objects.create()
    drain()
    Order.objects.create()
    call = ApiCall.objects.filter(kind="create").first()
    ApiCall.objects.filter(state="done").update(updated_at=fake_clock.now)
    for http_status in (503, 503, 401, None):
        FailedAttempt.objects.create(call=call, kind=call.kind, at=fake_clock.now, http_status=http_status)
    PendingAction.objects.create(name="cancel", delivery=alive, created_at=fake_clock.now)
    Delivery.objects.filter(cancel_requested_at__isnull=False).update(cancel_requested_at=fake_clock.now)


def test_each_number_leads_to_its_rows(staff, eventful):
    """The list has exactly as many as were counted. A reason is in no address: it may name people."""
    client = staff(*VIEWS, "view_personal_data")
    numbers = re.findall(r'<td[^>]*><a href="([^"]+)" aria-label="[^"]+">([^<]+)</a>', html.unescape(text_of(client)))
    for url, count in numbers:
        assert str(len(found(client, url))) == count, url
    parameters = {name for url, _count in numbers for name in parse_qs(urlsplit(url).query)}
    assert parameters == {"day", "status", "state", "ended", "answer", "since", "repeated", "reason"}
    [url] = [url for url, count in numbers if "reason" in url and count == "2"]
    assert "stock" not in url
    assert len(found(staff(), url)) == Delivery.objects.count()  # for a user who cannot see reasons


def test_an_address_that_no_number_has_shows_all(staff, alive, fake_clock):
    """As with every other filter."""
    FailedAttempt.objects.create(call=ApiCall.objects.get(), kind="create", at=fake_clock.now)
    client = staff(*VIEWS, "view_personal_data")
    for table, query in (
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
    ):
        shown = client.get(f"{FOLDER}/{table}/", query).context["cl"]
        assert shown.result_count == shown.model.objects.count() > 0, query
