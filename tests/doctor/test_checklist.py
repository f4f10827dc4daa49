"""Kaspi's fifteen items: each with what passes, what fails, and what is left to a person."""

from dataclasses import replace

import pytest

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor import checklist
from kaspi_delivery_django.doctor.checklist import Evidence, ProjectFacts, TableFacts
from kaspi_delivery_django.doctor.results import failed, manual, passed
from kaspi_delivery_django.stats.recent import Webhooks

SANDBOX = conf.Account(alias="default", environment="sandbox", base_url=conf.BASE_URLS["sandbox"], api_key="a-key")
PRODUCTION = replace(SANDBOX, alias="live", environment="production", base_url=conf.BASE_URLS["production"])
LOCAL = replace(SANDBOX, environment="local", base_url=conf.BASE_URLS["local"])
BOTH = [SANDBOX, PRODUCTION]
ALL_WELL = [passed(name, "", account=one.alias) for one in BOTH for name in ("api", "key", "webhook")]
HTTPS = {"default": "https://shop.example/", "live": "https://shop.example/"}
BUSY = TableFacts(has_booked=True, has_notes=True)
GOOD = Evidence(
    accounts=BOTH,
    findings=ALL_WELL,
    surroundings=ProjectFacts(
        keys_from_environment={"default": True, "live": True}, logs_webhooks=True, has_admin=True
    ),
    tables=BUSY,
    urls=HTTPS,
)
BARE = ProjectFacts()


def table(**changes):
    """Return the good evidence with other tables."""
    return replace(GOOD, tables=replace(BUSY, **changes))


def findings(*others):
    """Return the good evidence with these findings in the place of those of their names."""
    names = {found.name for found in others}
    return replace(GOOD, findings=[*others, *(found for found in ALL_WELL if found.name not in names)])


UNREAD = replace(GOOD, tables=None)
CASES = [
    (1, "pass", GOOD),
    (1, "fail", replace(GOOD, accounts=[replace(SANDBOX, api_key="")])),
    (1, "yours", replace(GOOD, surroundings=BARE)),
    (1, "yours", replace(GOOD, accounts=[PRODUCTION])),
    (2, "pass", GOOD),
    (2, "fail", replace(GOOD, accounts=[replace(PRODUCTION, api_key="")])),
    (2, "yours", replace(GOOD, surroundings=BARE)),
    (2, "yours", replace(GOOD, accounts=[SANDBOX])),
    (3, "pass", GOOD),
    (3, "fail", findings(failed("key", "", "", account="default"), passed("key", "", account="live"))),
    (3, "yours", findings(passed("key", "", account="default"))),
    (4, "pass", GOOD),
    (4, "fail", table(has_keyless_calls=True)),
    (4, "yours", UNREAD),
    (5, "pass", GOOD),
    (5, "fail", findings(failed("api", "", "", account="default"))),
    (5, "yours", replace(GOOD, accounts=[SANDBOX])),
    (6, "pass", GOOD),
    (6, "fail", findings(failed("webhook", "", "", account="default"))),
    (6, "yours", findings(manual("webhook", "", "", account="default"), passed("webhook", "", account="live"))),
    (6, "yours", replace(GOOD, urls={"default": "http://localhost/"})),
    (7, "pass", GOOD),
    (7, "fail", replace(GOOD, surroundings=BARE)),
    (8, "pass", GOOD),
    (8, "fail", UNREAD),
    (8, "fail", findings(failed("checks", "kaspi_delivery.E006: Two adapters …", ""))),
    *((number, "pass", GOOD) for number in (9, 10)),
    *((number, "fail", table(adapter_failures=2)) for number in (9, 10)),
    *((number, "yours", table(has_booked=False)) for number in (9, 10)),
    *((number, "yours", UNREAD) for number in (9, 10)),
    (11, "pass", GOOD),
    (11, "yours", table(has_notes=False)),
    (11, "yours", UNREAD),
    (12, "yours", GOOD),
    (13, "pass", GOOD),
    (13, "yours", replace(GOOD, surroundings=BARE)),
    (14, "pass", GOOD),
    (14, "yours", table(webhooks=Webhooks(events=9, repeated=2, most_attempts=3))),
    (14, "yours", UNREAD),
    (15, "pass", GOOD),
    (15, "yours", table(dead_letters=2)),
    (15, "yours", UNREAD),
]


@pytest.mark.parametrize(("number", "verdict", "evidence"), CASES)
def test_each_item(number, verdict, evidence):
    """A pass has nothing to do; what fails or is open says what."""
    item = checklist.judge(evidence)[number - 1]
    assert (item.number, item.verdict) == (number, verdict)
    assert item.says
    assert bool(item.todo) is (verdict != "pass")


def test_there_are_fifteen():
    """In Kaspi's order."""
    items = checklist.judge(GOOD)
    assert [item.number for item in items] == list(range(1, 16))
    assert {number for number, _verdict, _evidence in CASES} == set(range(1, 16))


def test_a_missing_key_is_named_by_its_variable():
    """And not by itself."""
    [first, *_] = checklist.judge(replace(GOOD, accounts=[replace(SANDBOX, alias="almaty", api_key="")]))
    assert first.todo == "Set KASPI_DELIVERY_ALMATY_API_KEY."


def test_the_hosts_that_were_not_tried_are_named():
    """With what tries them."""
    item = checklist.judge(replace(GOOD, accounts=[LOCAL]))[4]
    assert "curl -sI https://api.kaspi.kz/" in item.todo
    assert "curl -sI https://sandbox.kaspi.kz/" in item.todo
