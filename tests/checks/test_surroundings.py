"""Checks of what other apps do to our rows: each red and green."""

import sys
from types import ModuleType

import pytest
from django.apps import apps
from django.conf.urls.i18n import i18n_patterns
from django.contrib.contenttypes.fields import GenericRelation
from django.urls import include, path

from kaspi_delivery_django.checks import installation
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.views import WebhookView
from tests.checks.samples import GOOD
from tests.shop.models import Note, Order


@pytest.fixture
def related(monkeypatch):
    """Give a model a GenericRelation to another."""

    def give(model, other):
        field = GenericRelation(other, object_id_field="object_id")
        field.name, field.remote_field.model = "deliveries", other
        monkeypatch.setattr(model._meta, "private_fields", [*model._meta.private_fields, field])

    return give


@pytest.mark.parametrize(("model", "other"), [(Order, Delivery), (Note, Delivery), (Order, ApiCall)])
def test_w026_deleting_an_order_deletes_its_delivery(found, related, model, other):
    """Kaspi goes on delivering it."""
    related(model, other)
    messages = found(**GOOD)
    assert list(messages) == ["W026"]
    assert f"{model._meta.label}.deliveries is a GenericRelation" in messages["W026"].msg
    assert "delivery_of(order)" in messages["W026"].hint


def test_w026_is_silent_for_other_relations(found, related):
    """Tags and the like are the shop's own."""
    related(Order, Note)
    assert found(**GOOD) == {}


@pytest.fixture
def urls(settings, monkeypatch):
    """Let the project have these addresses."""

    def use(*patterns):
        module = ModuleType("tests.checks.urls_with_languages")
        module.urlpatterns = list(patterns)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        settings.ROOT_URLCONF = module.__name__

    return use


OURS = path("kaspi/", include("kaspi_delivery_django.urls"))
BY_HAND = path("hooks/kaspi/", WebhookView.as_view())


@pytest.mark.parametrize("pattern", [OURS, BY_HAND, path("shop/", include([OURS]))])
def test_w027_an_address_that_begins_with_a_language(found, urls, pattern):
    """Kaspi is redirected, and its events are lost."""
    urls(*i18n_patterns(pattern))
    messages = found(**GOOD)
    assert list(messages) == ["W027"]
    assert "out of i18n_patterns() in tests.checks.urls_with_languages" in messages["W027"].hint


@pytest.mark.parametrize(
    "patterns",
    [
        [*i18n_patterns(path("about/", lambda _request: None)), OURS],
        [*i18n_patterns(OURS), BY_HAND],
        i18n_patterns(OURS, prefix_default_language=False),
    ],
)
def test_w027_is_silent_where_one_address_has_no_language(found, urls, patterns):
    """Beside others that have one."""
    urls(*patterns)
    assert found(**GOOD) == {}


@pytest.fixture
def installed(monkeypatch):
    """Let a library be among the project's apps."""
    known = apps.is_installed
    return lambda *names: monkeypatch.setattr(
        installation.apps, "is_installed", lambda name: name in names or known(name)
    )


@pytest.mark.parametrize(
    "cached",
    [
        {"*.*": {"ops": "all", "timeout": 60}},
        {"kaspi_delivery.*": {"ops": {"get"}, "timeout": 60}, "*.*": None},
        {"Kaspi_Delivery.Delivery": {"ops": "fetch"}, "kaspi_delivery.*": None},
    ],
)
def test_w028_cacheops_answers_for_our_rows(found, installed, settings, cached):
    """A claim or a cancel would be decided on rows as they were."""
    installed("cacheops")
    settings.CACHEOPS = cached
    messages = found(**GOOD)
    assert list(messages) == ["W028"]
    assert messages["W028"].hint == 'Write "kaspi_delivery.*": None in CACHEOPS.'


@pytest.mark.parametrize(
    "cached",
    [
        None,
        {"auth.user": {"ops": "get", "timeout": 60}},
        {"*.*": {"timeout": 60}},
        {"*.*": {"ops": "all"}, "kaspi_delivery.*": None},
    ],
)
def test_w028_is_silent_where_cacheops_leaves_them_alone(found, installed, settings, cached):
    """Without `ops` it caches what it is told to."""
    installed("cacheops")
    settings.CACHEOPS = cached
    assert found(**GOOD) == {}


def test_w028_defaults_of_cacheops_count(found, installed, settings):
    """They are added to each entry."""
    installed("cacheops")
    settings.CACHEOPS, settings.CACHEOPS_DEFAULTS = {"*.*": {}}, {"ops": "all", "timeout": 60}
    assert list(found(**GOOD)) == ["W028"]


@pytest.mark.parametrize(
    ("options", "is_cached"),
    [
        ({}, True),
        ({"CACHALOT_ENABLED": False}, False),
        ({"CACHALOT_UNCACHABLE_APPS": ("kaspi_delivery",)}, False),
        ({"CACHALOT_ONLY_CACHABLE_APPS": ("shop",)}, False),
        ({"CACHALOT_ONLY_CACHABLE_APPS": ("shop", "kaspi_delivery")}, True),
    ],
)
def test_w028_cachalot_caches_every_table_unless_told_not_to(found, installed, settings, options, is_cached):
    """It needs no entry for that."""
    installed("cachalot")
    for name, value in options.items():
        setattr(settings, name, value)
    assert list(found(**GOOD)) == (["W028"] if is_cached else [])


def test_without_a_urlconf_there_is_no_address(found, settings):
    """A worker may have settings of its own."""
    settings.ROOT_URLCONF = None
    assert found(**GOOD) == {}
