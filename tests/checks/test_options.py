"""Checks of the settings as a whole: each red and green."""

import pytest

from kaspi_delivery_django.checks import settings
from tests.checks.samples import GOOD, LIVE, SECRET


def test_good_settings_raise_no_message(found):
    """A shop that has set everything right is left in peace."""
    assert found(**GOOD) == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"APIKEY": "key"}, "Did you mean 'API_KEY'?"),
        ({"BASE_URL": "http://kaspi.example"}, "must start with https://"),
        ({"ENVIRONMENT": ["production"]}, "must be one of"),
        ({"ACCOUNTS": {"almaty": None}}, "must be a dict"),
    ],
)
def test_e001_settings_that_cannot_be_read(found, wrong, said):
    """Unreadable settings are one error, not a crash, and no other check stumbles over them."""
    messages = found(**wrong)
    assert list(messages) == ["E001"]
    assert said in messages["E001"].msg
    assert "Correct KASPI_DELIVERY in your settings" in messages["E001"].hint


def test_e007_times_without_a_zone(found, settings):
    """Kaspi's times are moments."""
    settings.USE_TZ = False
    messages = found(**GOOD)
    assert list(messages) == ["E007"]
    assert "USE_TZ = True" in messages["E007"].hint


@pytest.mark.parametrize(("runner", "extra"), [("celery", "[celery]"), ("django_tasks", "[django-tasks]")])
def test_e008_a_runner_whose_library_is_missing(found, monkeypatch, runner, extra):
    """Nothing would tell its workers of an order."""
    monkeypatch.setattr(settings, "find_spec", lambda _name: None)
    messages = found(**GOOD, RUNNER=runner)
    assert list(messages) == ["E008"]
    assert f"kaspi-delivery-django{extra}" in messages["E008"].hint


@pytest.mark.parametrize("runner", ["inline", "worker", "celery", "django_tasks"])
def test_e008_is_silent_when_it_is_installed(found, runner):
    """Django 6 brings its own tasks; the others need no library."""
    assert found(**GOOD, RUNNER=runner) == {}


@pytest.mark.parametrize(("installed", "ids"), [("django.tasks", []), ("django_tasks", []), ("celery", ["E008"])])
def test_e008_takes_the_backport_for_djangos_own(found, monkeypatch, installed, ids):
    """Either will do."""
    monkeypatch.setattr(settings, "find_spec", lambda name: name == installed or None)
    assert list(found(**GOOD, RUNNER="django_tasks")) == ids


@pytest.mark.parametrize("host", ["https://track.kaspi.kz", "track.kaspi.kz/", "*.kaspi.kz", "Track.kaspi.kz", ""])
def test_w016_a_tracking_host_that_is_none(found, host):
    """The addresses are compared with it as it stands."""
    messages = found(**GOOD, TRACKING_HOSTS=["track.kaspi.kz", host])
    assert list(messages) == ["W016"]
    assert messages["W016"].obj == repr(host)
    assert 'TRACKING_HOSTS=["track.kaspi.kz"]' in messages["W016"].hint


@pytest.mark.parametrize("hosts", [[], ["track.kaspi.kz", "track.example:8443", "localhost"]])
def test_w016_is_silent_for_hosts(found, hosts):
    """With a port, or none at all."""
    assert found(**GOOD, TRACKING_HOSTS=hosts) == {}


def test_w017_customers_who_wait(found):
    """What is right for the first day is said before the first deployment."""
    messages = found(deploy=True, **{**LIVE, "RUNNER": "inline"})
    assert "W017" in messages
    assert 'RUNNER="worker"' in messages["W017"].hint


def test_w017_is_silent_with_a_worker_and_before_a_deployment(found):
    """A developer may wait."""
    assert "W017" not in found(deploy=True, **LIVE)
    assert "W017" not in found(**{**LIVE, "RUNNER": "inline"})


def test_deployment_checks_wait_for_a_deployment(found):
    """`runserver` and `migrate` do not repeat them."""
    assert found(**GOOD) == {}
    assert set(found(deploy=True, **GOOD)) >= {"W011", "W017"}


@pytest.mark.parametrize("word", ["in_transit", "delivered", "", "two words", "w" * 65])
def test_w037_a_final_status_that_changes_nothing(found, word):
    """What a known status means is not changed, and Kaspi never writes the others."""
    messages = found(**GOOD, FINAL_STATUSES=["returned", word])
    assert list(messages) == ["W037"]
    assert messages["W037"].obj == repr(word)


def test_w037_is_silent_about_words_of_kaspis(found):
    """Those that are new to us are what the setting is for."""
    assert found(**GOOD, FINAL_STATUSES=["returned", "lost"]) == {}


def test_no_message_shows_a_credential(found):
    """What `manage.py check` prints may be pasted into an issue."""
    short = "a-short"
    shared = {"API_KEY": "the-api-key", "WEBHOOK_SECRETS": [SECRET]}
    messages = found(API_KEY="the-api-key", WEBHOOK_SECRETS=[SECRET, short], ACCOUNTS={"almaty": shared}, deploy=True)
    assert set(messages) >= {"W004", "W009", "W010", "W011"}
    shown = "".join(str(message) for message in messages.values())
    assert not any(credential in shown for credential in ("the-api-key", SECRET, short))


def test_w039_an_optional_app_that_is_not_installed(found, settings):
    """Its settings would have no effect; once it is installed, its own checks read them."""
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if not app.startswith("tests.relay")]
    relay = {"erp": {"URL": "https://erp.example/"}}
    messages = found(**GOOD, RELAY=relay)
    assert list(messages) == ["W039"]
    assert '"kaspi_delivery_django.contrib.relay" into INSTALLED_APPS' in messages["W039"].hint
    assert found(**GOOD, RELAY={}) == {}
