"""Checks of KASPI_DELIVERY: each mistake is named with what to write, and what is right is left alone."""

import pytest

from kaspi_delivery_django import conf
from kaspi_delivery_django.checks import settings
from kaspi_delivery_django.sandbox import defaults
from tests.checks.samples import GOOD, LIVE, ORDERS, OTHER, SECRET

CITY = {"ORDER_ADAPTERS": ["tests.accounts.merchants.CityAdapter"]}  # it names an account
GIFTS = "tests.test_orders.GiftAdapter"
CAREFUL_GIFTS = "tests.checks.test_adapters.CarefulGiftAdapter"
ALMATY_GIFTS = "tests.checks.test_adapters.GiftAccountAdapter"
LOCALHOST = "http://localhost:8900"
TRIED = {**LIVE, "ENVIRONMENT": "sandbox", "deploy": True}
PUBLISHED = {**GOOD, "API_KEY": defaults.API_KEY}


def two(**own):
    """Return settings with two accounts, the second of which has what is given."""
    return {"ACCOUNTS": {"almaty": GOOD, "astana": {**OTHER, **own}}, **CITY}


def secrets(*values):
    """Return good settings with these secrets."""
    return {**GOOD, "WEBHOOK_SECRETS": list(values)}


MISTAKES = [
    ("E001", {"APIKEY": "key"}, "Correct KASPI_DELIVERY in your settings"),
    ("E001", {"BASE_URL": "http://kaspi.example"}, "Correct KASPI_DELIVERY in your settings"),
    ("E005", {**GOOD, "ORDER_ADAPTERS": ["nowhere.Adapter"]}, 'ORDER_ADAPTERS=["shop.kaspi.ShopOrderAdapter"]'),
    ("E005", {**GOOD, "ORDER_ADAPTERS": ["tests.shop.adapters.NotAnAdapter"]}, "Name importable classes"),
    ("E005", {**GOOD, "ORDER_ADAPTERS": ["tests.test_orders.ClumsyAdapter"]}, "Name importable classes"),
    ("E006", {**GOOD, "ORDER_ADAPTERS": [ORDERS, GIFTS]}, "Override external_order_id"),
    ("E009", {**GOOD, "BASE_URL": conf.PRODUCTION_URL}, 'Leave BASE_URL out, or write ENVIRONMENT="production"'),
    ("E009", {**GOOD, "ENVIRONMENT": "production", "BASE_URL": conf.SANDBOX_URL}, "Leave BASE_URL out"),
    ("E009", {"ENVIRONMENT": "local", "BASE_URL": conf.PRODUCTION_URL, "debug": True}, "Leave BASE_URL out"),
    ("E011", {"ACCOUNTS": {"almaty": GOOD, "astana": OTHER}}, "return one of: almaty, astana"),
    ("W001", {"ENVIRONMENT": "local"}, 'ENVIRONMENT="production"'),
    *(("W002", {**GOOD, "API_KEY": key}, "KASPI_DELIVERY_API_KEY") for key in ("", "  ", None)),
    ("W002", two(API_KEY=""), "KASPI_DELIVERY_ASTANA_API_KEY"),
    *(("W003", secrets(*few), "KASPI_DELIVERY_WEBHOOK_SECRETS") for few in ([], [""], ["1234567"])),
    ("W004", secrets(SECRET, "short"), "at most 5 secrets, each of 8 characters or more"),
    ("W004", secrets(SECRET, *(f"{number}{SECRET}" for number in range(5))), "at most 5 secrets"),
    ("W008", PUBLISHED, 'ENVIRONMENT="local"'),
    ("W008", {**PUBLISHED, "ENVIRONMENT": "production"}, 'ENVIRONMENT="local"'),
    ("W009", two(API_KEY=GOOD["API_KEY"]), "the key of its own merchant and environment"),
    ("W009", two(API_KEY=GOOD["API_KEY"], ENVIRONMENT="production"), "the key of its own merchant and environment"),
    ("W010", two(WEBHOOK_SECRETS=[*OTHER["WEBHOOK_SECRETS"], SECRET]), "a secret of its own"),
    ("W011", TRIED, 'ENVIRONMENT="production"'),
    ("W012", {**TRIED, "BASE_URL": LOCALHOST}, "Leave BASE_URL out"),
    ("W013", {**GOOD, "ORDER_ADAPTERS": []}, 'ORDER_ADAPTERS=["shop.kaspi.ShopOrderAdapter"]'),
    ("W014", {**GOOD, "ACCOUNTS": {"almaty": OTHER}}, "return one of: almaty, default"),
    *(
        ("W016", {**GOOD, "TRACKING_HOSTS": ["track.kaspi.kz", host]}, 'TRACKING_HOSTS=["track.kaspi.kz"]')
        for host in ("https://track.kaspi.kz", "track.kaspi.kz/", "*.kaspi.kz", "Track.kaspi.kz", "")
    ),
    ("W017", {**LIVE, "RUNNER": "inline", "deploy": True}, 'RUNNER="worker"'),
    *(
        ("W024", {**GOOD, "BASE_URL": f"https://x.example/delivery/{end}"}, 'BASE_URL="https://x.example/delivery"')
        for end in ("v1", "v2", "V1/")
    ),
    *(("W033", secrets(secret, SECRET), "Ask Kaspi for a longer one") for secret in ("12345678", "x" * 31)),
    *(
        ("W037", {**GOOD, "FINAL_STATUSES": ["returned", word]}, "Name statuses as Kaspi writes them")
        for word in ("in_transit", "delivered", "", "two words", "w" * 65)
    ),
]


@pytest.mark.parametrize(("number", "raw", "hint"), MISTAKES)
def test_each_mistake_is_named_with_what_to_write(found, number, raw, hint):
    """By one message, beside those of a deployment."""
    messages = found(**raw)
    assert raw.get("deploy") or list(messages) == [number]
    assert hint in messages[number].hint


def test_w039_an_optional_app_that_is_not_installed(found, settings):
    """Its settings would have no effect; once it is installed, its own checks read them."""
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if not app.startswith("tests.relay")]
    messages = found(**GOOD, RELAY={"erp": {"URL": "https://erp.example/"}})
    assert list(messages) == ["W039"]
    assert '"kaspi_delivery_django.contrib.relay" into INSTALLED_APPS' in messages["W039"].hint


@pytest.mark.parametrize(
    "raw",
    [
        GOOD,
        {"ENVIRONMENT": "local", "debug": True},
        {"ENVIRONMENT": "local", "API_KEY": defaults.API_KEY, "debug": True},
        {"ENVIRONMENT": "local", "ACCOUNTS": {"almaty": {}, "astana": {}}, **CITY, "debug": True},
        two(),
        secrets("x" * 32),
        {**GOOD, "ORDER_ADAPTERS": [ORDERS, CAREFUL_GIFTS]},
        {"ACCOUNTS": {"almaty": GOOD}, "ORDER_ADAPTERS": [ALMATY_GIFTS]},
        {**GOOD, "ACCOUNTS": {"almaty": OTHER}, "ORDER_ADAPTERS": [ORDERS, ALMATY_GIFTS]},
        {**GOOD, "ENVIRONMENT": "production", "BASE_URL": conf.PRODUCTION_URL},
        {**GOOD, "BASE_URL": conf.SANDBOX_URL},
        {**GOOD, "BASE_URL": LOCALHOST},
        *({**GOOD, "BASE_URL": f"https://x.example/delivery{end}"} for end in ("", "/", "/v", "/v1/x", "/dev1")),
        *({**GOOD, "RUNNER": runner} for runner in ("inline", "worker", "celery", "django_tasks")),
        *({**GOOD, "TRACKING_HOSTS": hosts} for hosts in ([], ["track.kaspi.kz", "track.example:8443", "localhost"])),
        {**GOOD, "FINAL_STATUSES": ["returned", "lost"]},
        {**GOOD, "RELAY": {}},
        {**LIVE, "RUNNER": "inline"},
    ],
)
def test_what_is_right_is_left_alone(found, raw):
    """What concerns a deployment is named before one, and not by `runserver` and `migrate`."""
    assert found(**raw) == {}


def test_a_deployment_is_checked_for_what_is_left_of_development(found):
    """Neither in production over https with a worker, nor with DEBUG."""
    assert not {"W011", "W012", "W017"} & set(found(deploy=True, **LIVE))
    assert not {"W011", "W012"} & set(found(**TRIED, debug=True))
    assert "W012" not in found(**TRIED)


def test_a_message_names_what_it_is_about(found):
    """The account, the two that share something, or the value."""
    accounts = {"almaty": GOOD, "nur-sultan": {"WEBHOOK_SECRETS": OTHER["WEBHOOK_SECRETS"]}}
    message = found(ACCOUNTS=accounts, **CITY)["W002"]
    assert (message.obj, "KASPI_DELIVERY_NUR_SULTAN_API_KEY" in message.hint) == ("nur-sultan", True)
    assert found(**two(API_KEY=GOOD["API_KEY"]))["W009"].obj == "almaty, astana"
    assert found(**GOOD, TRACKING_HOSTS=["*"])["W016"].obj == "'*'"
    assert "OrderAdapter, GiftAdapter" in found(**GOOD, ORDER_ADAPTERS=[ORDERS, GIFTS])["E006"].msg
    assert "1 of WEBHOOK_SECRETS under 32 characters" in found(**secrets("12345678", SECRET))["W033"].msg
    assert "Did you mean 'API_KEY'?" in found(APIKEY="key")["E001"].msg


def test_accounts_without_credentials_share_none(found):
    """What is missing in both is named by other checks."""
    assert set(found(ACCOUNTS={"almaty": {}, "astana": {}}, **CITY)) == {"W002", "W003"}


def test_no_message_shows_a_credential(found):
    """What `manage.py check` prints may be pasted into an issue."""
    short = "a-short"
    shared = {"API_KEY": "the-api-key", "WEBHOOK_SECRETS": [SECRET]}
    messages = found(API_KEY="the-api-key", WEBHOOK_SECRETS=[SECRET, short], ACCOUNTS={"almaty": shared}, deploy=True)
    assert set(messages) >= {"W004", "W009", "W010", "W011"}
    shown = "".join(str(message) for message in messages.values())
    assert not any(credential in shown for credential in ("the-api-key", SECRET, short))


def test_e007_times_without_a_zone(found, settings):
    """Kaspi's times are moments."""
    settings.USE_TZ = False
    messages = found(**GOOD)
    assert (list(messages), "USE_TZ = True" in messages["E007"].hint) == (["E007"], True)


@pytest.mark.parametrize(
    ("runner", "installed", "hint"),
    [
        ("celery", None, "kaspi-delivery-django[celery]"),
        ("django_tasks", "celery", "kaspi-delivery-django[django-tasks]"),
        ("django_tasks", "django.tasks", ""),
        ("django_tasks", "django_tasks", ""),
    ],
)
def test_e008_a_runner_whose_library_is_missing(found, monkeypatch, runner, installed, hint):
    """Its workers would not be notified; Django's own tasks and their backport will both do."""
    monkeypatch.setattr(settings, "find_spec", lambda name: name == installed or None)
    messages = found(**GOOD, RUNNER=runner)
    assert list(messages) == (["E008"] if hint else [])
    assert all(hint in message.hint for message in messages.values())
