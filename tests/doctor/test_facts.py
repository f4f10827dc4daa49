"""What the process and the tables say, beside the findings."""

import pytest

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor import checklist
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.stats import snapshot

pytestmark = pytest.mark.django_db(transaction=True)


def around():
    """Look around."""
    return checklist.project_facts(conf.current().accounts)


def read():
    """Read the tables."""
    return checklist.table_facts(snapshot.read())


@pytest.mark.parametrize(("value", "expected"), [("test-api-key", True), ("another", False), ("", False)])
def test_a_key_of_the_environment(monkeypatch, value, expected):
    """It is the one in use, or it is another."""
    monkeypatch.setenv("KASPI_DELIVERY_API_KEY", value)
    assert around().keys_from_environment == {"default": expected}


def test_no_key_comes_from_nowhere(monkeypatch, settings):
    """Nothing set is not the same as an empty variable."""
    monkeypatch.setenv("KASPI_DELIVERY_API_KEY", "")
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "API_KEY": ""}
    assert around().keys_from_environment == {"default": False}


def test_a_logger_that_speaks():
    """Warnings are on unless LOGGING takes them away."""
    assert around().logs_webhooks


def test_a_logger_that_is_silenced(quiet_logger):
    """By its level."""
    assert not around().logs_webhooks


def test_the_admin_is_there():
    """Installed and routed."""
    assert around().has_admin


def test_an_admin_without_an_address(settings):
    """Nobody can open it."""
    settings.ROOT_URLCONF = "tests.doctor.no_urls"
    assert not around().has_admin


def test_a_shop_without_an_admin(settings):
    """Which is allowed."""
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"]
    assert not around().has_admin


def test_an_empty_shop(turnable):
    """Nothing is wrong with it, and nothing proven."""
    assert read() == checklist.TableFacts()


def test_a_busy_shop(booked):
    """What was booked, with notes or without."""
    Delivery.objects.update(pickup_notes="", dropoff_notes="")
    assert (read().has_booked, read().has_notes) == (True, False)
    Delivery.objects.update(dropoff_notes="Ring twice.")
    assert read().has_notes


def test_a_call_without_a_key(booked):
    """Only writes need one."""
    assert not read().has_keyless_calls
    ApiCall.objects.update(idempotency_key="", kind="refresh")
    assert not read().has_keyless_calls
    ApiCall.objects.update(kind="create")
    assert read().has_keyless_calls


def test_orders_that_the_adapter_could_not_build(due):
    """They wait for a person."""
    Delivery.objects.update(attention="adapter_failed")
    assert read().adapter_failures == 1
