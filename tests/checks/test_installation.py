"""Checks of what is installed, and of the webhook's address: each red and green."""

import sys
from importlib import metadata
from types import ModuleType

import pytest
from django.conf import settings as django_settings
from django.urls import include, path
from packaging.requirements import Requirement
from packaging.version import Version

from kaspi_delivery_django.checks.installation import MINIMUM_VERSIONS
from kaspi_delivery_django.views import WebhookView
from tests.checks.samples import GOOD

PYPI = {"rest_framework": "djangorestframework", "environ": "django-environ"}


@pytest.mark.parametrize(
    ("library", "version"),
    [
        ("django", "4.2.20"),
        ("django", "5.2.16"),
        ("django", "6.0.7"),
        ("rest_framework", "3.17.1"),
        ("requests", "2.32.3"),
        ("environ", "0.11.1"),
    ],
)
def test_w006_a_library_without_its_security_fixes(found, monkeypatch, library, version):
    """Whatever an old lock file has put back."""
    monkeypatch.setattr(sys.modules[library], "__version__", version)
    messages = found(**GOOD)
    assert list(messages) == ["W006"]
    assert messages["W006"].msg == f"{library} {version} is too old."
    assert "Upgrade it to" in messages["W006"].hint


@pytest.mark.parametrize(
    ("library", "version"),
    [("django", "5.2.17"), ("django", "6.0.8"), ("django", "6.1"), ("django", "7.0a1"), ("requests", "2.32.4.post1")],
)
def test_w006_is_silent_for_what_is_new_enough(found, monkeypatch, library, version):
    """The floor itself is, and so is every later series."""
    monkeypatch.setattr(sys.modules[library], "__version__", version)
    assert found(**GOOD) == {}


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


OURS = "kaspi_delivery_django.urls"


@pytest.mark.parametrize("patterns", [[], [path("shop/", include([path("about/", lambda _request: None)]))]])
def test_w007_no_place_for_webhooks(found, urls, patterns):
    """Kaspi would be answered 404, and give up after a day."""
    urls(*patterns)
    messages = found(**GOOD)
    assert list(messages) == ["W007"]
    assert 'path("kaspi/", include("kaspi_delivery_django.urls")) in tests.checks.some_urls' in messages["W007"].hint


@pytest.mark.parametrize(
    "pattern",
    [
        path("kaspi/", include(OURS)),
        path("api/", include(([path("v1/kaspi/", include(OURS, namespace="ours"))], "api"))),
        path("hooks/kaspi/", WebhookView.as_view()),
    ],
)
def test_w007_is_silent_wherever_they_are(found, urls, pattern):
    """Deep inside, in other namespaces, or routed by hand."""
    urls(pattern)
    assert found(**GOOD) == {}


def test_w007_is_silent_in_a_project_without_urls(found, settings):
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
    assert list(messages) == ["W018"]
    assert '"rest_framework" into INSTALLED_APPS' in messages["W018"].hint


def test_w041_messages_without_their_app(found, settings):
    """What is set, and cannot work; silent where nothing is set, or the app is there."""
    own = {**GOOD, "MESSAGES": {"ORIGIN": "https://shop.kz"}}
    assert found(**own) == {}
    settings.INSTALLED_APPS = without("tests.messages.apps.Unconnected")
    assert found(**GOOD) == {}
    assert list(found(**own)) == ["W041"]
