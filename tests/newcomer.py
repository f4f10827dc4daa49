"""A fresh project that follows the three steps of README.md, and sells one order.

Nothing of this suite's settings is in it: each command is a process, as in the reader's terminals. What README.md does
not show is here, because every shop has it already: its `Order`.
"""

import os
import re
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from functools import partial

from tests.docs import pages
from tests.http_server import free_port

PATIENCE_S = 600
OUTSIDE = ("PYTHON", "KASPI_", "DJANGO_", "COVERAGE_", "DATABASE", "POSTGRESQL_", "TEST_DATABASE", "VIRTUAL_ENV")
MODELS = """
from django.db import models

class Order(models.Model):
    paid = models.BooleanField(default=False)
    cancelled = models.BooleanField(default=False)
    name = models.CharField(max_length=80)
    phone = models.CharField(max_length=20)
    address = models.CharField(max_length=200)
    weight_grams = models.PositiveIntegerField()
    total = models.DecimalField(max_digits=12, decimal_places=2)
"""
SELL = """
from django.db import transaction
from shop.models import Order

customer = {"name": "Aigerim", "phone": "+7 701 222 0000", "address": "Abay 10"}
with transaction.atomic():
    Order.objects.create(paid=True, weight_grams=900, total="9990.50", **customer)
"""
READ = """
from kaspi_delivery_django.models import Delivery
delivery = Delivery.objects.get()
print(delivery.external_order_id, delivery.status)
"""


def steps():
    """Return the three blocks of Python that README.md has a newcomer write."""
    return [block.text for block in pages.read("README.md").blocks if block.language == "python"][:3]


class Project:
    """A project in an empty folder, and the Python that runs it."""

    def __init__(self, folder, python):
        self.folder, self.python = folder, python
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
        self.environment["KASPI_DELIVERY_ENVIRONMENT"] = "local"

    def create(self):
        """Create a project and an app with Django's own commands, and write README.md's blocks into them."""
        settings, urls, adapter = steps()
        self.run("-m", "django", "startproject", "mysite", ".")
        self.run("manage.py", "startapp", "shop")
        (self.folder / "shop" / "models.py").write_text(MODELS)
        (self.folder / "shop" / "kaspi.py").write_text(adapter)
        self.append("mysite/settings.py", settings.replace("[...,", '[*INSTALLED_APPS, "shop",'))
        self.append("mysite/urls.py", urls.replace("    ...,", "    *urlpatterns,"))

    def sell(self):
        """Sell an order with the sandbox and the shop running; return the order's id and status at the end."""
        shop = f"127.0.0.1:{free_port()}"
        self.run("manage.py", "check", "--fail-level", "ERROR")
        self.run("manage.py", "makemigrations", "shop")
        self.run("manage.py", "migrate")
        with ExitStack() as terminals:
            options = ("--port", "0", "--pace", "0.5", "--webhook-url", f"http://{shop}/kaspi/webhook/")
            read_kaspi = terminals.enter_context(self.terminal("kaspi_sandbox", *options))
            self.environment["KASPI_DELIVERY_BASE_URL"] = read_kaspi(r"Kaspi sandbox +(\S+)")[1]
            read_shop = terminals.enter_context(self.terminal("runserver", "--noreload", shop))
            read_shop("Quit the server")
            self.run("manage.py", "shell", "-c", SELL)
            read_kaspi(r"delivery\.delivered.*200")
            return self.run("manage.py", "shell", "-c", READ).split()[-2:]

    def run(self, *arguments):
        """Run Python to its end in the project; return what it prints."""
        ended = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    @contextmanager
    def terminal(self, *arguments):
        """Leave `manage.py` running in a terminal of its own; yield a function that reads until a pattern."""
        command = [self.python, "-u", "manage.py", *arguments]
        with started(command, cwd=self.folder, env=self.environment) as process:
            yield partial(read_until, process.stdout)

    def append(self, name, text):
        """Write something at the end of a file."""
        with (self.folder / name).open("a") as file:
            file.write(f"\n{text}")


@contextmanager
def started(command, **place):
    """Start a process whose output is read here; it ends with the context, or after a while that no test needs."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **output, **place) as process:
        limit = threading.Timer(PATIENCE_S, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            process.kill()


def read_until(lines, pattern):
    """Read what a process prints until a line has the pattern; return the match."""
    printed = []
    for line in lines:
        printed.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"{pattern!r} was not printed: {''.join(printed)}")
