"""Checks of what is installed, of the webhook's address, and of what other apps do to our rows."""

import sys
from importlib import metadata
from types import ModuleType

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib.contenttypes.fields import GenericRelation
from django.db import transaction
from django.urls import include, path
from packaging.requirements import Requirement
from packaging.version import Version

from kaspi_delivery_django.checks import installation
from kaspi_delivery_django.checks.installation import MINIMUM_VERSIONS
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.views import WebhookView
from tests.checks.samples import GOOD
from tests.shop.models import Note, Order

PYPI = {"rest_framework": "djangorestframework", "environ": "django-environ"}


@pytest.mark.parametrize(
    ("library", "version", "ids"),
    [
        ("django", "4.2.20", ["W006"]),
        ("django", "5.2.16", ["W006"]),
        ("django", "6.0.7", ["W006"]),
        ("rest_framework", "3.17.1", ["W006"]),
        ("requests", "2.32.3", ["W006"]),
        ("environ", "0.11.1", ["W006"]),
        *(("django", version, []) for version in ("5.2.17", "6.0.8", "6.1", "7.0a1")),
        ("requests", "2.32.4.post1", []),
    ],
)
def test_w006_a_library_without_its_security_fixes(found, monkeypatch, library, version, ids):
    """Whatever an old lock file has put back; the floor itself is new enough, and so is every later series."""
    monkeypatch.setattr(sys.modules[library], "__version__", version)
    messages = found(**GOOD)
    assert list(messages) == ids
    assert all(message.msg == f"{library} {version} is too old." for message in messages.values())
    assert all("Upgrade it to" in message.hint for message in messages.values())


def test_w006_has_the_floors_that_are_installed():
    """What pip takes and what the check takes are the same."""
    wanted = {one.name: one.specifier for one in map(Requirement, metadata.requires("kaspi-delivery-django"))}
    for library, floors in MINIMUM_VERSIONS:
        specifier = wanted[PYPI.get(library, library)]
        for *series, last in floors:
            assert specifier.contains(Version(".".join(map(str, (*series, last)))))
            assert not specifier.contains(Version(".".join(map(str, (*series, last - 1)))))


@pytest.fixture
def urls(settings, monkeypatch):
    """Let the project have these URLs."""

    def use(*patterns):
        module = ModuleType("tests.checks.some_urls")
        module.urlpatterns = list(patterns)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        settings.ROOT_URLCONF = module.__name__

    return use


OURS = path("kaspi/", include("kaspi_delivery_django.urls"))
NESTED = path("api/", include(([path("v1/", include("kaspi_delivery_django.urls", namespace="ours"))], "api")))
BY_HAND = path("hooks/kaspi/", WebhookView.as_view())
ABOUT = path("about/", lambda _request: None)


@pytest.mark.parametrize(
    ("patterns", "number", "hint"),
    [
        ([], "W007", 'path("kaspi/", include("kaspi_delivery_django.urls")) in tests.checks.some_urls'),
        ([path("shop/", include([ABOUT]))], "W007", 'include("kaspi_delivery_django.urls")'),
        *(
            (i18n_patterns(ours), "W027", "out of i18n_patterns() in tests.checks.some_urls")
            for ours in (OURS, BY_HAND)
        ),
        (i18n_patterns(path("shop/", include([OURS]))), "W027", "out of i18n_patterns()"),
    ],
)
def test_w007_and_w027_an_address_that_kaspi_does_not_reach(found, urls, patterns, number, hint):
    """Kaspi would be answered 404, or be redirected to an address that begins with a language."""
    urls(*patterns)
    messages = found(**GOOD)
    assert (list(messages), hint in messages[number].hint) == ([number], True)


@pytest.mark.parametrize(
    "patterns",
    [
        *([pattern] for pattern in (OURS, NESTED, BY_HAND)),
        [*i18n_patterns(ABOUT), OURS],
        [*i18n_patterns(OURS), BY_HAND],
        i18n_patterns(OURS, prefix_default_language=False),
    ],
)
def test_an_address_may_be_anywhere(found, urls, patterns):
    """Deep inside, in other namespaces, routed by hand, or beside others that have a language."""
    urls(*patterns)
    assert found(**GOOD) == {}


def test_a_project_without_urls_has_no_address(found, settings):
    """A worker's own settings may have none."""
    settings.ROOT_URLCONF = None
    assert found(**GOOD) == {}


def without(app):
    """Return the apps that are installed, except for one."""
    return [entry for entry in django_settings.INSTALLED_APPS if entry != app]


def test_w018_rest_framework_is_no_app(found, settings):
    """It is named in INSTALLED_APPS."""
    settings.INSTALLED_APPS = without("rest_framework")
    messages = found(**GOOD)
    assert (list(messages), '"rest_framework" into INSTALLED_APPS' in messages["W018"].hint) == (["W018"], True)


def test_w041_messages_without_their_app(found, settings):
    """What is set, and cannot work; silent where nothing is set, or the app is there."""
    own = {**GOOD, "MESSAGES": {"ORIGIN": "https://shop.kz"}}
    assert found(**own) == {}
    settings.INSTALLED_APPS = without("tests.messages.apps.Unconnected")
    assert found(**GOOD) == {}
    assert list(found(**own)) == ["W041"]


def wrapping(get_response):
    """Wrap every view in a transaction, as a host may."""

    def middleware(request):
        with transaction.atomic():
            return get_response(request)

    return middleware


def exempting(get_response):
    """Wrap every view but the webhook's."""

    def middleware(request):
        if request.path_info.startswith("/kaspi/"):  # kaspi_delivery commits by itself
            return get_response(request)
        with transaction.atomic():
            return get_response(request)

    return middleware


@pytest.mark.parametrize(("name", "ids"), [("wrapping", ["W022"]), ("exempting", []), ("without", []), ("missing", [])])
def test_w022_a_middleware_that_wraps_views_in_a_transaction(found, settings, name, ids):
    """Every webhook would be answered 503; what leaves it alone, or cannot be read, is not named."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{name}"]
    messages = found(**GOOD)
    assert list(messages) == ids
    assert all(f"{__name__}.{name}" in message.msg for message in messages.values())
    assert all("outside of atomic()" in message.hint for message in messages.values())


@pytest.mark.parametrize(
    ("model", "other", "ids"),
    [(Order, Delivery, ["W026"]), (Note, Delivery, ["W026"]), (Order, ApiCall, ["W026"]), (Order, Note, [])],
)
def test_w026_deleting_an_order_deletes_its_delivery(found, monkeypatch, model, other, ids):
    """Kaspi continues to deliver it; relations to other models are the shop's own."""
    field = GenericRelation(other, object_id_field="object_id")
    field.name, field.remote_field.model = "deliveries", other
    monkeypatch.setattr(model._meta, "private_fields", [*model._meta.private_fields, field])
    messages = found(**GOOD)
    assert list(messages) == ids
    assert all(f"{model._meta.label}.deliveries is a Generic" in message.msg for message in messages.values())
    assert all("delivery_of(order)" in message.hint for message in messages.values())


@pytest.mark.parametrize(
    ("library", "options", "hint"),
    [
        ("cacheops", {"CACHEOPS": {"*.*": {"ops": "all", "timeout": 60}}}, '"kaspi_delivery.*": None in CACHEOPS'),
        ("cacheops", {"CACHEOPS": {"kaspi_delivery.*": {"ops": {"get"}}, "*.*": None}}, "CACHEOPS"),
        ("cacheops", {"CACHEOPS": {"Kaspi_Delivery.Delivery": {"ops": "fetch"}, "kaspi_delivery.*": None}}, "CACHEOPS"),
        ("cacheops", {"CACHEOPS": {"*.*": {}}, "CACHEOPS_DEFAULTS": {"ops": "all"}}, "CACHEOPS"),
        ("cacheops", {"CACHEOPS": None}, ""),
        ("cacheops", {"CACHEOPS": {"auth.user": {"ops": "get", "timeout": 60}}}, ""),
        ("cacheops", {"CACHEOPS": {"*.*": {"timeout": 60}}}, ""),
        ("cacheops", {"CACHEOPS": {"*.*": {"ops": "all"}, "kaspi_delivery.*": None}}, ""),
        ("cachalot", {}, 'CACHALOT_UNCACHABLE_APPS = ("kaspi_delivery",)'),
        ("cachalot", {"CACHALOT_ONLY_CACHABLE_APPS": ("shop", "kaspi_delivery")}, "CACHALOT_UNCACHABLE_APPS"),
        ("cachalot", {"CACHALOT_ONLY_CACHABLE_APPS": ("shop",)}, ""),
        ("cachalot", {"CACHALOT_ENABLED": False}, ""),
        ("cachalot", {"CACHALOT_UNCACHABLE_APPS": ("kaspi_delivery",)}, ""),
    ],
)
def test_w028_a_cache_answers_for_our_rows(found, monkeypatch, settings, library, options, hint):
    """A claim or a cancel would be decided on rows as they were; without `ops` cacheops caches nothing by itself."""
    known = apps.is_installed
    monkeypatch.setattr(installation.apps, "is_installed", lambda name: name == library or known(name))
    for name, value in options.items():
        setattr(settings, name, value)
    messages = found(**GOOD)
    assert list(messages) == (["W028"] if hint else [])
    assert all(hint in message.hint for message in messages.values())
