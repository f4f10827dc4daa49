"""Several processes: a worker that is killed, two at once, and one that has not got the app."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection

from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.messages import sending
from kaspi_delivery_django.contrib.messages.models import Message
from kaspi_delivery_django.services.deliveries import notifications
from tests.conftest import PATIENCE_S
from tests.messages.conftest import rows

ROOT = Path(__file__).resolve().parent.parent.parent
database = pytest.mark.django_db(transaction=True)
INSTALLED = """
import json, sys
from django.conf import settings
import django
apps = ["django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "kaspi_delivery_django", *sys.argv[1:]]
settings.configure(INSTALLED_APPS=apps, SECRET_KEY="x", KASPI_DELIVERY={"API_KEY": "an-api-key"})
django.setup()
from django.core.checks.registry import registry
from kaspi_delivery_django.services import extensions
from kaspi_delivery_django.services.deliveries import notifications
ours = [name for name in sys.modules if name.startswith("kaspi_delivery_django.contrib")]
checks = [check for check in registry.registered_checks if check.__module__ in ours]
is_heard = notifications.has_listeners(is_creation=True)
print(json.dumps([len(ours), len(extensions.installed()), len(checks), is_heard, "requests" in sys.modules]))
"""


def start(*command):
    """Start a process that has the app installed, the MESSAGES of this test, and its database."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.messages.settings",
        "TEST_MESSAGES": json.dumps(django_settings.KASPI_DELIVERY["MESSAGES"]),
        "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "DATABASE": {"mysql": "mariadb"}.get(connection.vendor, connection.vendor),
    }
    return subprocess.Popen([sys.executable, "-m", "django", *command], cwd=ROOT, env=environment)


def wait_for_request(bot):
    """Wait until the bot is asked to send something."""
    assert bot.asked.acquire(timeout=PATIENCE_S)


@pytest.fixture
def unsent(move, configure, bot, shop):
    """Return messages that are noted and not sent."""
    shop(recipients={"telegram": "742"})
    move("in_transit")
    notifications.notify_pending(limit=10, using="default")
    Message.objects.filter(channel="email").delete()
    return rows()


@database
def test_a_worker_that_is_killed_loses_nothing(unsent, bot, turnable):
    """Killed between sending and recording: the message is sent once more when the claim has ended, and no more."""
    bot.released.clear()
    with start("kaspi_worker", "--once") as worker:
        wait_for_request(bot)
        worker.kill()
    bot.released.set()
    turnable.now = datetime.now(UTC)
    assert sending.send_pending(limit=10) == 0  # the claim has not ended
    turnable.now = datetime.now(UTC) + outgoing.LEASE + timedelta(seconds=1)
    assert sending.send_pending(limit=10) == 1
    assert sending.send_pending(limit=10) == 0
    assert len(bot.sent) == 2
    assert {row.state for row in rows()} == {"sent"}


@database
def test_two_workers_at_once_send_once(unsent, bot, turnable):
    """One sends while the other looks for more, and finds none."""
    bot.released.clear()
    turnable.now = datetime.now(UTC)
    with start("kaspi_worker", "--once") as second:
        wait_for_request(bot)
        assert sending.send_pending(limit=10) == 0
        bot.released.set()
        assert second.wait(PATIENCE_S) == 0
    assert len(bot.sent) == 1
    assert {row.state for row in rows()} == {"sent"}


@database
def test_of_two_that_have_read_a_row_one_sends_it(unsent, bot):
    """The claim is one conditional UPDATE."""
    [row] = unsent
    [same] = rows()
    assert [outgoing._claim(row), outgoing._claim(same)] == [True, False]


def installed(*apps):
    """Start a process with these apps beside ours; return what it has loaded and connected."""
    ran = subprocess.run([sys.executable, "-c", INSTALLED, *apps], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_without_the_app_nothing_is_loaded_and_nothing_connected():
    """A shop that does not install it has no cost."""
    assert installed() == [0, 0, 0, False, False]


def test_with_the_app_it_is_connected_and_nothing_heavy_is_loaded():
    """A channel's library comes with its first message."""
    assert installed("kaspi_delivery_django.contrib.messages")[1:] == [2, 5, True, False]
