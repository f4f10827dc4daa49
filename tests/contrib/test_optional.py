"""What an optional app or library costs a shop that does without it: nothing is loaded, connected or queried."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.relay.erp import SECRET

CORE = ("django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "kaspi_delivery_django")
MESSAGES, RELAY = "kaspi_delivery_django.contrib.messages", "kaspi_delivery_django.contrib.relay"
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
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    modules, *others = json.loads(ran.stdout)
    return set(modules), others


def test_a_shop_without_them_loads_none():
    """Neither our modules nor the libraries, though all are installed here."""
    used = ["kaspi_delivery_django.urls", "kaspi_delivery_django.services.outbox.worker"]
    modules, others = start(used=used)
    own = ("kaspi_delivery_django.api", "kaspi_delivery_django.contrib.")
    libraries = {"drf_spectacular", "rest_framework.viewsets", "prometheus_client", "standardwebhooks", "celery"}
    assert not [name for name in modules if name.startswith(own)]
    assert (libraries & modules, others) == (set(), [0, 0, False])


@pytest.mark.parametrize(
    ("relay", "is_heard"), [({}, False), ({"erp": {"URL": "https://erp.example/", "SECRETS": [SECRET]}}, True)]
)
def test_a_process_that_sends_nothing_loads_no_library(relay, is_heard):
    """They come with the first message; without an endpoint the relay connects no receiver."""
    modules, others = start(RELAY, RELAY=relay)
    assert not {"requests", "standardwebhooks", f"{RELAY}.sending"} & modules
    assert others == [1, 1, is_heard]


def test_messages_are_connected_once_they_are_installed():
    """Two extensions, five checks, and the receiver; a channel's library comes with its first message."""
    modules, others = start(MESSAGES)
    assert ("requests" in modules, others) == (False, [2, 5, True])
