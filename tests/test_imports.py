"""What comes along when a shop's process starts: of other people's libraries, nothing that it has not got already."""

import json
import os
import subprocess
import sys

import pytest

import kaspi_delivery_django.client

HEAVY = {"requests", "urllib3", "charset_normalizer", "chardet", "idna", "certifi", "simplejson", "socks", "OpenSSL"}
OPTIONAL = {
    "celery",
    "kombu",
    "prometheus_client",
    "rich",
    "django_tasks",
    "drf_spectacular",
    "segno",
    "standardwebhooks",
}
CODE = """
import json, sys
from importlib import import_module
from django.conf import settings
import django

words = set(sys.argv[1:])
ours = "kaspi_delivery_django"
apps = ["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"]
if "app" in words:
    given = import_module(f"{ours}.conf").from_env() if "env" in words else {"API_KEY": "an-api-key"}
    settings.configure(INSTALLED_APPS=[*apps, ours], KASPI_DELIVERY=given, SECRET_KEY="x")
else:
    settings.configure(INSTALLED_APPS=apps, SECRET_KEY="x")
django.setup()
if "used" in words:
    import rest_framework.views, rest_framework.serializers
if "urls" in words:
    import_module(f"{ours}.urls")
if "sends" in words:
    import_module(f"{ours}.services.outbox.clients").client_for(import_module(f"{ours}.conf").account("default"))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names))))
"""


def libraries(*words):
    """Start a process, and return which libraries it has imported."""
    environment = {**os.environ, "KASPI_DELIVERY_API_KEY": "an-api-key"}
    command = [sys.executable, "-c", CODE, *words]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout))


@pytest.mark.parametrize("words", [["app"], ["app", "env"]], ids=" ".join)
def test_setting_the_app_up_brings_nothing_heavy(words):
    """Not what sends, not what it finds installed, and no extra of ours."""
    assert not libraries(*words) & (HEAVY | OPTIONAL)


def test_where_rest_framework_is_in_use_only_we_come():
    """It imports `requests` itself when that is installed; our addresses bring nothing more."""
    assert libraries("used", "app", "urls") - libraries("used") <= {"kaspi_delivery_django", "environ"}


def test_what_sends_brings_requests():
    """A client needs it, and gets it then."""
    assert "requests" in libraries("app", "sends")


def test_the_clients_public_names_are_there():
    """The two that come when they are asked for among them; any other name is a mistake as ever."""
    client = kaspi_delivery_django.client
    assert [name for name in client.__all__ if not hasattr(client, name)] == []
    assert client.KaspiClient.__module__ == client.Timeouts.__module__ == "kaspi_delivery_django.client.http"
    with pytest.raises(AttributeError, match="has no attribute 'KaspiClint'"):
        _ = client.KaspiClint
