"""The settings of MESSAGES, and the checks of the app."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from kaspi_delivery_django.checks.settings import check_settings
from kaspi_delivery_django.contrib.messages import checks, conf
from tests.messages.conftest import EMAIL, TELEGRAM

WRONG = {
    "ORIGN": ({"ORIGN": "https://shop.kz"}, "has no key 'ORIGN'. Did you mean 'ORIGIN'?"),
    "an origin without a scheme": ({"ORIGIN": "shop.kz"}, 'as "https://shop.kz"'),
    "an origin of another type": ({"ORIGIN": 1}, 'as "https://shop.kz"'),
    "channels that are no dict": ({"CHANNELS": ["email"]}, "must be a dict of name to BACKEND"),
    "a channel that is no dict": ({"CHANNELS": {"email": EMAIL}}, "must be a dict of BACKEND and OPTIONS"),
    "a name that no column holds": ({"CHANNELS": {"e mail": {"BACKEND": EMAIL}}}, "as its name"),
    "a channel without a backend": ({"CHANNELS": {"email": {}}}, "needs a BACKEND, a dotted path"),
    "an unknown key of a channel": ({"CHANNELS": {"email": {"BACKEN": EMAIL}}}, "Did you mean 'BACKEND'?"),
    "a backend that is not there": ({"CHANNELS": {"sms": {"BACKEND": "shop.Sms"}}}, "cannot import 'shop.Sms'"),
    "a backend that is none": ({"CHANNELS": {"sms": {"BACKEND": "json.JSONEncoder"}}}, "is not a Backend"),
    "an unknown option": ({"CHANNELS": {"email": {"BACKEND": EMAIL, "OPTIONS": {"sender": "x"}}}}, "'sender'"),
    "a telegram without a token": ({"CHANNELS": {"t": {"BACKEND": TELEGRAM}}}, "'token'"),
    "a wrong token": ({"CHANNELS": {"t": {"BACKEND": TELEGRAM, "OPTIONS": {"token": "1"}}}}, "@BotFather"),
    "statuses that are none": ({"STATUSES": "accepted"}, "must be a list of statuses"),
    "quiet hours of the day": ({"QUIET_HOURS": ("08:00", "22:00")}, "must begin before midnight"),
    "quiet hours that are no times": ({"QUIET_HOURS": ("22", "8")}, "must begin before midnight"),
    "alarms that are no dict": ({"ALARMS": ["ops@shop.kz"]}, "must be a dict of channel to recipients"),
    "alarms to a text": ({"ALARMS": {"email": "ops@shop.kz"}}, "must be a dict of channel to recipients"),
    "alarms to no one": ({"ALARMS": {"email": [""]}}, "has an empty recipient"),
    "alarms over no channel": ({"ALARMS": {"pager": ["1"]}}, "names the channel 'pager'; CHANNELS has: email"),
    "no dict": (["email"], "must be a dict"),
}


def found(check, settings, **messages):
    """Return the ids and hints of a check under these MESSAGES."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MESSAGES": messages}
    return {message.id.rpartition(".")[2]: message for message in check()}


@pytest.mark.parametrize("name", WRONG)
def test_e001_wrong_settings_are_named(settings, name):
    """With the key to correct; at the first use too."""
    messages, words = WRONG[name]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MESSAGES": messages}
    found = [*check_settings(), *checks.check_settings()]
    assert [message.id[-4:] for message in found if words in message.msg] == ["E001"]
    with pytest.raises(ImproperlyConfigured, match="MESSAGES"):
        _ = [channel.backend for channel in conf.current().channels.values()]


def test_e001_no_secret_is_shown(settings):
    """Neither in the message, nor in the settings' own text."""
    channel = {"BACKEND": TELEGRAM, "OPTIONS": {"token": "a-secret-that-is-no-token"}}
    message = found(checks.check_settings, settings, CHANNELS={"t": channel})["E001"]
    assert "a-secret" not in f"{message.msg}{conf.current()}"


def test_e001_good_settings_are_left_in_peace(settings):
    """The defaults too."""
    channel = {"BACKEND": TELEGRAM, "OPTIONS": {"token": "123456789:AAH-a_token_of_the_bot_father_35_letters"}}
    assert found(checks.check_settings, settings) == {}
    for hours in (None, ("00:00", "07:30"), ["21:30", "09:00"]):
        own = {"CHANNELS": {"t": channel}, "ALARMS": {"t": [-100742]}, "QUIET_HOURS": hours}
        assert found(checks.check_settings, settings, **own) == {}


class Split:
    """Routes the messages elsewhere."""

    def db_for_write(self, model, **_hints):
        return "other" if model._meta.app_label == "kaspi_delivery_messages" else None


def test_e002_messages_elsewhere(settings):
    """One transaction writes both."""
    assert found(checks.check_database, settings) == {}
    with override_settings(DATABASE_ROUTERS=[Split()]):
        assert found(checks.check_database, settings).keys() == {"E002"}


def test_w001_no_recipients(settings):
    """No adapter names one, and no staff are named either."""
    assert found(checks.check_recipients, settings).keys() == {"W001"}
    assert found(checks.check_recipients, settings, ALARMS={"email": ["ops@shop.kz"]}) == {}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": ["tests.messages.adapters.WritingAdapter"]}
    assert found(checks.check_recipients, settings) == {}


def test_w002_no_origin(settings):
    """While our tracking page is in the URLconf."""
    assert found(checks.check_links, settings).keys() == {"W002"}
    assert found(checks.check_links, settings, ORIGIN="https://shop.kz/") == {}
    settings.ROOT_URLCONF = "tests.doctor.no_urls"
    assert conf.current().origin == "https://shop.kz"
    assert found(checks.check_links, settings) == {}


def test_w003_a_time_zone_that_no_customer_lives_in(settings):
    """A new project of Django has UTC."""
    assert found(checks.check_time_zone, settings) == {}
    settings.TIME_ZONE = "UTC"
    assert found(checks.check_time_zone, settings).keys() == {"W003"}
