"""Somebody starts a fresh project, copies the README's three steps, and a parcel is delivered.

Nothing of this suite's settings is in it: `startproject`, `runserver`, `kaspi_sandbox` and a shell are processes, as in
the reader's terminals. What the README does not say is here, because every shop has it already: its `Order`.
"""

import os
import re
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
PATIENCE_S = 600
SCAFFOLD = {"urlpatterns = [", "...,", "]"}  # stands in the project already
MOST_LINES = 25
ORDER = """
from django.db import models


class Order(models.Model):
    paid = models.BooleanField(default=False)
    cancelled = models.BooleanField(default=False)
    name = models.CharField(max_length=100)
    address = models.CharField(max_length=200)
    phone = models.CharField(max_length=40)
    weight_grams = models.PositiveIntegerField()
    total = models.DecimalField(max_digits=10, decimal_places=2)
"""
SELL = """
from django.db import transaction
from shop.models import Order

with transaction.atomic():
    Order.objects.create(
        paid=True, name="Aigerim", address="Almaty, Abay 10", phone="+7 701 222 0000", weight_grams=900, total="9990.50"
    )
"""
ASK = """
from kaspi_delivery_django.models import Delivery

print("status:", Delivery.objects.get().status)
"""


def block(start):
    """Return the README's Python block that begins so."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    [found] = [code for code in blocks if code.startswith(start)]
    return found


SETTINGS = block("import kaspi_delivery_django.conf")
URLS = block("from django.urls import include, path")
ADAPTER = block("from kaspi_delivery_django.client import Contact")


@pytest.fixture
def project(tmp_path):
    """Make a project with a shop, and do what the README's first two steps say."""
    django = [sys.executable, "-m", "django"]
    subprocess.run([*django, "startproject", "mysite", tmp_path], check=True)
    subprocess.run([*django, "startapp", "shop"], check=True, cwd=tmp_path)
    (tmp_path / "shop" / "models.py").write_text(ORDER)
    (tmp_path / "shop" / "kaspi.py").write_text(ADAPTER)
    add(tmp_path / "mysite" / "settings.py", 'INSTALLED_APPS += ["shop"]')
    add(tmp_path / "mysite" / "settings.py", SETTINGS.replace("[...,", "[*INSTALLED_APPS,"))
    add(tmp_path / "mysite" / "urls.py", URLS.replace("...,", "*urlpatterns,"))
    return tmp_path


@pytest.fixture
def manage(project):
    """Run `manage.py` in the project, with what the README exports; return what it says."""

    def run(*arguments, **environment):
        command = [sys.executable, "manage.py", *arguments]
        env = {**clean(), "KASPI_DELIVERY_ENVIRONMENT": "local", **environment}
        ran = subprocess.run(
            command, cwd=project, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


@pytest.fixture
def terminal(project):
    """Leave `manage.py` running in a terminal of its own until the test is over; return how to read what it says."""
    running = []

    def open_one(*arguments, **environment):
        command = [sys.executable, "-u", "manage.py", *arguments]
        env = {**clean(), "KASPI_DELIVERY_ENVIRONMENT": "local", **environment}
        process = subprocess.Popen(command, cwd=project, env=env, stdout=PIPE, stderr=STDOUT, text=True)
        running.append((process, threading.Timer(PATIENCE_S, process.kill)))
        running[-1][1].start()
        return partial(read_until, process.stdout)

    yield open_one
    for process, limit in running:
        limit.cancel()
        process.kill()
        process.communicate()


def clean():
    """Return the environment without what this suite's own run has set."""
    own = {"DJANGO_SETTINGS_MODULE", "DATABASE", "DATABASE_URL", "POSTGRESQL_URL", "TEST_DATABASE_NAME"}
    return {name: value for name, value in os.environ.items() if name not in own}


def add(file, code):
    """Write code at the end of a file of the project."""
    file.write_text(f"{file.read_text()}\n{code}\n")


def read_until(lines, pattern):
    """Read what a process says until it says this; return the match."""
    said = []
    for line in lines:
        said.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"it never said {pattern!r}: {''.join(said)}")


def free_port():
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_paid_order_is_delivered(manage, terminal):
    """Three steps, two terminals, one order."""
    shop = f"127.0.0.1:{free_port()}"
    webhook = f"http://{shop}/kaspi/webhook/"
    manage("makemigrations", "shop")
    manage("migrate")
    kaspi = terminal("kaspi_sandbox", "--port", "0", "--pace", "0.5", "--webhook-url", webhook)
    url = kaspi(r"Kaspi sandbox +(\S+)")[1]
    browser = terminal("runserver", "--noreload", shop, KASPI_DELIVERY_BASE_URL=url)
    browser("Quit the server")
    manage("shell", "-c", SELL, KASPI_DELIVERY_BASE_URL=url)
    kaspi(r"delivery\.delivered.*200")
    assert manage("shell", "-c", ASK).endswith("status: delivered\n")


def test_what_is_written_by_hand_is_little():
    """Lines that the three blocks add to what `startproject` and `startapp` have made."""
    written = [line.strip() for code in (SETTINGS, URLS, ADAPTER) for line in code.splitlines()]
    assert len([line for line in written if line and line not in SCAFFOLD]) <= MOST_LINES
