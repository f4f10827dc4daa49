"""What a shop's process loads when it starts: no library before its use, nothing of an app that is not installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kaspi_delivery_django.client
from tests.relay.erp import SECRET

OURS = "kaspi_delivery_django"
CORE = ("django.contrib.contenttypes", "django.contrib.auth", "rest_framework", OURS)
MESSAGES, RELAY = f"{OURS}.contrib.messages", f"{OURS}.contrib.relay"
REST = ("rest_framework.views", "rest_framework.serializers")
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
STARTED = """
import json, sys
from importlib import import_module
import django
from django.conf import settings

options = json.loads(sys.argv[1])
settings.configure(**options["settings"], USE_TZ=True, SECRET_KEY="x", ROOT_URLCONF="kaspi_delivery_django.urls")
django.setup()
for name in options["used"]:
    import_module(name)
from django.core.checks.registry import registry
from django.core.management import load_command_class
from kaspi_delivery_django.services import extensions
from kaspi_delivery_django.services.deliveries import notifications

load_command_class("kaspi_delivery_django", "kaspi_worker").create_parser("", "")
ours = [name for name in sys.modules if name.startswith("kaspi_delivery_django.contrib.")]
checks = [check.__module__ for check in registry.registered_checks if check.__module__ in ours]
is_heard = notifications.has_listeners(is_creation=True)
print(json.dumps([sorted(sys.modules), len(extensions.installed()), len(checks), is_heard]))
"""


def start(*apps, used=(), **ours):
    """Start a shop; return its modules, and the numbers of extensions and checks, and whether a receiver is there."""
    options = {"INSTALLED_APPS": [*CORE, *apps], "KASPI_DELIVERY": {"API_KEY": "an-api-key", **ours}}
    given = json.dumps({"settings": options, "used": used})
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(
        [sys.executable, "-c", STARTED, given],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    modules, *others = json.loads(ran.stdout)
    return set(modules), others


def libraries(modules):
    """Return the names of other people's packages among the modules."""
    return {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("apps", "ours", "others"),
    [
        ((), {}, [0, 0, False]),
        ((RELAY,), {"RELAY": {}}, [1, 1, False]),
        ((RELAY,), {"RELAY": {"erp": {"URL": "https://erp.example/", "SECRETS": [SECRET]}}}, [1, 1, True]),
        ((MESSAGES,), {}, [2, 5, True]),
    ],
)
def test_a_process_that_sends_nothing_loads_no_library(apps, ours, others):
    """They come with the first message; an app adds its extensions, checks and receivers, the relay for an endpoint."""
    modules, found = start(*apps, **ours)
    assert not libraries(modules) & (SENDS | EXTRAS)
    assert f"{RELAY}.sending" not in modules
    assert found == others


def test_a_shop_without_the_apps_loads_none_of_their_modules():
    """Nor the libraries of the extras, though all are installed here."""
    modules, _others = start(used=[f"{OURS}.urls", f"{OURS}.services.outbox.worker"])
    assert not [name for name in modules if name.startswith((f"{OURS}.api", f"{OURS}.contrib."))]
    assert not libraries(modules) & EXTRAS
    assert "rest_framework.viewsets" not in modules


def test_our_addresses_bring_nothing_more_than_rest_framework():
    """It imports `requests` itself when that is installed."""
    with_rest, with_urls = start(used=REST)[0], start(used=[*REST, f"{OURS}.urls"])[0]
    assert libraries(with_urls) == libraries(with_rest)


def test_the_clients_public_names_are_there():
    """The two that come when they are asked for among them; any other name is a mistake as ever."""
    client = kaspi_delivery_django.client
    assert [name for name in client.__all__ if not hasattr(client, name)] == []
    assert client.KaspiClient.__module__ == client.Timeouts.__module__ == "kaspi_delivery_django.client.http"
    with pytest.raises(AttributeError, match="has no attribute 'KaspiClint'"):
        _ = client.KaspiClint
