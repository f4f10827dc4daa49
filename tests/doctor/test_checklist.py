"""Kaspi's fifteen items: each with what passes, what fails, and what is left to staff."""

from dataclasses import replace

import pytest

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor.report import Evidence, judge_items
from kaspi_delivery_django.doctor.texts import Outcome, Result
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.stats.report import Report

SANDBOX = conf.Account(alias="default", environment="sandbox", base_url=conf.BASE_URLS["sandbox"], api_key="a-key")
PRODUCTION = replace(SANDBOX, alias="live", environment="production", base_url=conf.BASE_URLS["production"])
LOCAL = replace(SANDBOX, environment="local", base_url=conf.BASE_URLS["local"])
BOTH = [SANDBOX, PRODUCTION]


def found(name, outcome="pass", account="default", message=""):
    """Return a finding."""
    return Result(name=name, outcome=Outcome(outcome), message=message, account=account)


ALL_WELL = [found(name, account=one.alias) for one in BOTH for name in ("api", "key", "webhook")]
HTTPS = {"default": "https://shop.example/", "live": "https://shop.example/"}
UNREAD = Evidence(accounts=BOTH, findings=ALL_WELL, stats=None, urls=HTTPS)


def findings(*others):
    """Return evidence with these findings in the place of those of their names."""
    names = {one.name for one in others}
    return replace(UNREAD, findings=[*others, *(one for one in ALL_WELL if one.name not in names)])


@pytest.mark.parametrize(
    ("number", "outcome", "evidence"),
    [
        (1, "fail", replace(UNREAD, accounts=[replace(SANDBOX, api_key="")])),
        (1, "yours", UNREAD),
        (1, "yours", replace(UNREAD, accounts=[PRODUCTION])),
        (2, "fail", replace(UNREAD, accounts=[replace(PRODUCTION, api_key="")])),
        (2, "yours", UNREAD),
        (2, "yours", replace(UNREAD, accounts=[SANDBOX])),
        (3, "pass", UNREAD),
        (3, "fail", findings(found("key", "fail"), found("key", account="live"))),
        (3, "yours", findings(found("key"))),
        (4, "yours", UNREAD),
        (5, "pass", UNREAD),
        (5, "fail", findings(found("api", "fail"))),
        (5, "yours", replace(UNREAD, accounts=[SANDBOX])),
        (6, "pass", UNREAD),
        (6, "fail", findings(found("webhook", "fail"))),
        (6, "yours", findings(found("webhook", "yours"), found("webhook", account="live"))),
        (6, "yours", replace(UNREAD, urls={"default": "http://localhost/"})),
        (7, "pass", UNREAD),
        (8, "fail", UNREAD),
        (8, "fail", findings(found("checks", "fail", message="kaspi_delivery.E006: Two adapters …"))),
        *((number, "yours", UNREAD) for number in (9, 10, 11, 12, 14, 15)),
        (13, "pass", UNREAD),
    ],
)
def test_each_item(number, outcome, evidence):
    """A pass has nothing to do; what fails or is open says what."""
    item = judge_items(evidence)[number - 1]
    assert (item.number, item.outcome, bool(item.todo)) == (number, outcome, outcome != "pass")
    assert item.message


@pytest.mark.parametrize(("value", "outcome"), [("a-key", "pass"), (" a-key\n", "pass"), ("another", "yours")])
def test_a_key_comes_from_its_variable(monkeypatch, value, outcome):
    """It is the one in use, or it is another."""
    monkeypatch.setenv("KASPI_DELIVERY_API_KEY", value)
    monkeypatch.setenv("KASPI_DELIVERY_LIVE_API_KEY", value)
    assert {item.outcome for item in judge_items(UNREAD)[:2]} == {outcome}


def test_a_missing_key_is_named_by_its_variable():
    """And not by itself."""
    [first, *_] = judge_items(replace(UNREAD, accounts=[replace(SANDBOX, alias="almaty", api_key="")]))
    assert first.todo == "Set KASPI_DELIVERY_ALMATY_API_KEY."


def test_the_hosts_that_were_not_tried_are_named():
    """With what tries them."""
    item = judge_items(replace(UNREAD, accounts=[LOCAL]))[4]
    assert "curl -sI https://sandbox.kaspi.kz/ and curl -sI https://api.kaspi.kz/" in item.todo


@pytest.mark.parametrize("missing", ["address", "app"])
def test_without_an_admin_there_is_no_dashboard(settings, missing):
    """It is not installed, or has no address."""
    if missing == "address":
        settings.ROOT_URLCONF = "tests.doctor.no_urls"
    else:
        settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"]
    assert judge_items(UNREAD)[12].outcome == "yours"


@pytest.fixture
def of_tables(fake_clock):
    """Return the items that are judged by the tables, by their numbers."""

    def read():
        items = judge_items(Evidence(accounts=BOTH, findings=ALL_WELL, stats=Report()))
        return {item.number: str(item.outcome) for item in items if item.number in {4, 8, 9, 10, 11, 14, 15}}

    return read


WELL = dict.fromkeys((4, 8, 9, 10, 11, 14, 15), "pass")


@pytest.mark.django_db(transaction=True)
def test_an_empty_shop_has_proven_nothing(of_tables):
    """Nothing is wrong with it."""
    assert of_tables() == {**WELL, 9: "yours", 10: "yours", 11: "yours"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("change", "items"),
    [
        (lambda: None, {}),
        (lambda: Delivery.objects.update(dropoff_notes=""), {11: "yours"}),
        (lambda: ApiCall.objects.update(idempotency_key="", kind="refresh"), {}),
        (lambda: ApiCall.objects.update(idempotency_key=""), {4: "fail"}),
        (lambda: Delivery.objects.update(attention="adapter_failed"), {9: "fail", 10: "fail"}),
        (lambda: WebhookEvent.objects.update(attempt=2), {14: "yours"}),
        (lambda: WebhookEvent.objects.update(state="failed"), {15: "yours"}),
    ],
)
def test_a_busy_shop_is_judged_by_its_rows(of_tables, booked, fake_clock, change, items):
    """Bookings, notes, idempotency keys, adapter failures, repeated events and dead letters."""
    Delivery.objects.update(dropoff_notes="Ring twice.")
    WebhookEvent.objects.create(event_id="wh_1", type="x", body="{}", state="applied", received_at=fake_clock.now)
    change()
    assert of_tables() == {**WELL, **items}
