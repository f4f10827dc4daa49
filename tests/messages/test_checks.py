"""The settings of MESSAGES, and the checks of the app."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from kaspi_delivery_django.checks.settings import check_settings
from kaspi_delivery_django.contrib.messages import checks, conf
from tests.checks.test_databases import writes
from tests.messages.bot import TOKEN
from tests.messages.conftest import ADAPTER, EMAIL, TELEGRAM

WRONG = [
    ({"ORIGN": "https://shop.kz"}, "has no key 'ORIGN'. Did you mean 'ORIGIN'?"),
    ({"ORIGIN": "shop.kz"}, 'as "https://shop.kz"'),
    ({"ORIGIN": 1}, 'as "https://shop.kz"'),
    ({"CHANNELS": ["email"]}, "must be a dict of name to BACKEND"),
    ({"CHANNELS": {"email": EMAIL}}, "must be a dict of BACKEND and OPTIONS"),
    ({"CHANNELS": {"e mail": {"BACKEND": EMAIL}}}, "as its name"),
    ({"CHANNELS": {"email": {}}}, "needs a BACKEND, a dotted path"),
    ({"CHANNELS": {"email": {"BACKEN": EMAIL}}}, "Did you mean 'BACKEND'?"),
    ({"CHANNELS": {"sms": {"BACKEND": "shop.Sms"}}}, "cannot import 'shop.Sms'"),
    ({"CHANNELS": {"sms": {"BACKEND": "json.JSONEncoder"}}}, "is not a Backend"),
    ({"CHANNELS": {"email": {"BACKEND": EMAIL, "OPTIONS": {"sender": "x"}}}}, "'sender'"),
    ({"CHANNELS": {"t": {"BACKEND": TELEGRAM}}}, "'token'"),
    ({"CHANNELS": {"t": {"BACKEND": TELEGRAM, "OPTIONS": {"token": "a-secret-that-is-no-token"}}}}, "@BotFather"),
    ({"STATUSES": "accepted"}, "must be a list of statuses"),
    ({"QUIET_HOURS": ("08:00", "22:00")}, "must begin before midnight"),
    ({"QUIET_HOURS": ("22", "8")}, "must begin before midnight"),
    ({"ALARMS": ["ops@shop.kz"]}, "must be a dict of channel to recipients"),
    ({"ALARMS": {"email": "ops@shop.kz"}}, "must be a dict of channel to recipients"),
    ({"ALARMS": {"email": [""]}}, "has an empty recipient"),
    ({"ALARMS": {"pager": ["1"]}}, "names the channel 'pager'; CHANNELS has: email"),
    (["email"], "must be a dict"),
]


@pytest.fixture
def found(settings):
    """Return the ids of a check under these MESSAGES."""

    def run(check, **messages):
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MESSAGES": messages}
        return [message.id.rpartition(".")[2] for message in check()]

    return run


@pytest.mark.parametrize(("messages", "words"), WRONG)
def test_e001_wrong_settings_are_named(settings, messages, words):
    """With the key to correct, and without a secret; at the first use too."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MESSAGES": messages}
    found = [*check_settings(), *checks.check_settings()]
    assert [message.id[-4:] for message in found if words in message.msg] == ["E001"]
    assert not [message for message in found if "a-secret" in message.msg]
    with pytest.raises(ImproperlyConfigured, match="MESSAGES"):
        _ = [channel.backend for channel in conf.current().channels.values()]


def test_e001_good_settings_are_left_alone(found):
    """The defaults too; the settings' own text has no secret."""
    assert found(checks.check_settings) == []
    channel = {"BACKEND": TELEGRAM, "OPTIONS": {"token": TOKEN}}
    for hours in (None, ("00:00", "07:30"), ["21:30", "09:00"]):
        own = {"CHANNELS": {"t": channel}, "ALARMS": {"t": [-100742]}, "QUIET_HOURS": hours}
        assert found(checks.check_settings, **own) == []
    assert TOKEN not in str(conf.current())


def test_e002_messages_elsewhere(found, settings):
    """One transaction writes both."""
    assert found(checks.check_database) == []
    settings.DATABASE_ROUTERS = [writes("kaspi_delivery_messages")]
    assert found(checks.check_database) == ["E002"]


def test_w001_no_recipients(found, settings):
    """No adapter names one, and no staff are named either."""
    assert found(checks.check_recipients) == ["W001"]
    assert found(checks.check_recipients, ALARMS={"email": ["ops@shop.kz"]}) == []
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [ADAPTER]}
    assert found(checks.check_recipients) == []


def test_w002_no_origin(found, settings):
    """While our tracking page is in the URLconf."""
    assert found(checks.check_links) == ["W002"]
    assert found(checks.check_links, ORIGIN="https://shop.kz/") == []
    assert conf.current().origin == "https://shop.kz"
    settings.ROOT_URLCONF = "tests.doctor.no_urls"
    assert found(checks.check_links) == []


def test_w003_a_time_zone_that_no_customer_lives_in(found, settings):
    """A new project of Django has UTC."""
    assert found(checks.check_time_zone) == []
    settings.TIME_ZONE = "UTC"
    assert found(checks.check_time_zone) == ["W003"]
