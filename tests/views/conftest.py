"""A host project with hostile defaults."""

import pytest
from django.db import connections
from rest_framework.settings import api_settings
from rest_framework.views import APIView


@pytest.fixture
def hostile_host(settings, monkeypatch):
    """Set every default that a host project can put in front of its views."""
    settings.REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": ["tests.views.conftest.Hostile"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
        "DEFAULT_THROTTLE_CLASSES": ["tests.views.conftest.Hostile"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.MultiPartParser"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
        "DEFAULT_CONTENT_NEGOTIATION_CLASS": "tests.views.conftest.Hostile",
        "DEFAULT_METADATA_CLASS": "tests.views.conftest.Hostile",
        "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
        "DEFAULT_VERSION": "2",
        "ALLOWED_VERSIONS": ["2"],
        "EXCEPTION_HANDLER": "tests.views.conftest.Hostile",
        "UNAUTHENTICATED_USER": "tests.views.conftest.Hostile",
        "FORM_METHOD_OVERRIDE": "_method",
        "URL_FORMAT_OVERRIDE": "format",
        "NON_FIELD_ERRORS_KEY": "status",
    }
    for policy in [name for name in vars(APIView) if name.endswith(("_class", "_classes"))]:
        monkeypatch.setattr(APIView, policy, getattr(api_settings, f"DEFAULT_{policy.upper()}"))
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


class Hostile:
    """A policy of the host that must never be used."""

    def __init__(self, *args, **options):
        raise AssertionError("a policy of the host was used")
