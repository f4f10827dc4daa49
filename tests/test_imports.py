"""What comes along when a shop's process starts: of other people's libraries, nothing that it has not got already."""

import json
import os
import subprocess
import sys

import pytest

import kaspi_delivery_django.client

SENDS = {"requests", "urllib3", "charset_normalizer", "chardet", "idna", "certifi", "simplejson", "socks", "OpenSSL"}
EXTRAS = {
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
from django.apps import apps
import django

ours = "kaspi_delivery_django"
others = ["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"]

def shop():
    settings.configure(INSTALLED_APPS=others, SECRET_KEY="x")
    django.setup()

def rest():
    import rest_framework.views, rest_framework.serializers

def app():
    settings.KASPI_DELIVERY = import_module(f"{ours}.conf").from_env()
    apps.set_installed_apps([*others, ours])

def urls():
    import_module(f"{ours}.urls")

def client():
    import_module(f"{ours}.services.outbox.sender").client_for(import_module(f"{ours}.conf").account("default"))

for step in sys.argv[1:]:
    globals()[step]()
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names))))
"""


def libraries(*steps):
    """Start a process, and return which libraries it has imported after each step."""
    environment = {**os.environ, "KASPI_DELIVERY_API_KEY": "an-api-key"}
    command = [sys.executable, "-c", CODE, *steps]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [set(json.loads(line)) for line in ran.stdout.splitlines()]


def test_the_app_imports_what_sends_only_when_it_sends():
    """Nothing that it finds installed, and no extra of ours; a client needs `requests`, and gets it then."""
    _shop, installed, sending = libraries("shop", "app", "client")
    assert not installed & (SENDS | EXTRAS)
    assert "requests" in sending


def test_where_rest_framework_is_in_use_only_we_come():
    """It imports `requests` itself when that is installed; our addresses bring nothing more."""
    _shop, with_rest, *_app, with_urls = libraries("shop", "rest", "app", "urls")
    assert with_urls - with_rest <= {"kaspi_delivery_django", "environ"}


def test_the_clients_public_names_are_there():
    """The two that come when they are asked for among them; any other name is a mistake as ever."""
    client = kaspi_delivery_django.client
    assert [name for name in client.__all__ if not hasattr(client, name)] == []
    assert client.KaspiClient.__module__ == client.Timeouts.__module__ == "kaspi_delivery_django.client.http"
    with pytest.raises(AttributeError, match="has no attribute 'KaspiClint'"):
        _ = client.KaspiClint
