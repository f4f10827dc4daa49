"""Judge what is to be released, from outside of the checkout: `python -m tests.released dist`.

The folder holds one archive and one wheel. Their contents are compared; then the wheel goes alone into an empty
environment, where a new Django project follows the three steps of README.md and books an order through the wheel's
own sandbox. Prints what was done; any mistake ends it with an exception.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import venv
import zipfile
from contextlib import contextmanager
from pathlib import Path

from tests.docs import pages

PACKAGE = "kaspi_delivery_django"
NEEDED = {
    f"{PACKAGE}/{name}"
    for name in (
        "py.typed",
        "locale/kk/LC_MESSAGES/django.mo",
        "locale/ru/LC_MESSAGES/django.mo",
        "migrations/0001_initial.py",
        "templates/admin/kaspi_delivery/change_form.html",
    )
}
IN_THE_ARCHIVE = {
    ".ci/run",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "docs/running.md",
    "tests/settings.py",
    "tox.ini",
}
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
BUY = """
from shop.models import Order
phone = "+7 701 222 0000"
Order.objects.create(paid=True, name="Aigerim", phone=phone, address="Abay 10", weight_grams=1200, total=45000)
"""
TELL = """
from kaspi_delivery_django.models import Delivery
delivery = Delivery.objects.get()
print("told:", delivery.external_order_id, delivery.status, delivery.delivery_id)
"""
WHERE = f"import {PACKAGE}; print('told:', {PACKAGE}.__file__)"
PATIENCE_S = 120


def main(arguments):
    """Look into both files, then use the wheel as a stranger would."""
    folder = Path(*arguments).resolve()
    [archive], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    compare(archive, wheel)
    with tempfile.TemporaryDirectory(prefix="kaspi-delivery-released-") as outside:
        Stranger(Path(outside)).ship(wheel)


def compare(archive, wheel):
    """See that the wheel has every file of the package and no other, and the archive what tests it."""
    with zipfile.ZipFile(wheel) as opened:
        wheel_files = {name for name in opened.namelist() if ".dist-info/" not in name}
    with tarfile.open(archive) as opened:
        archive_files = {member.name.partition("/")[2] for member in opened.getmembers() if member.isfile()}
    expect(wheel_files == sources(), f"either in the wheel or in the checkout: {sorted(wheel_files ^ sources())}")
    expect(archive_files >= sources(), f"missing in the archive: {sorted(sources() - archive_files)}")
    expect(wheel_files >= NEEDED, f"missing in the wheel: {sorted(NEEDED - wheel_files)}")
    expect(any(name.endswith(".css") for name in wheel_files), "no style sheet in the wheel")
    missing = IN_THE_ARCHIVE - archive_files
    expect(not missing, f"missing in the archive: {sorted(missing)}")
    say(f"{len(wheel_files)} files in the wheel, {len(archive_files)} in the archive")


def sources():
    """Return the files of the package in the checkout, whatever they are."""
    files = (path for path in (pages.ROOT / PACKAGE).rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(pages.ROOT).as_posix() for path in files}


class Stranger:
    """Somebody with an empty folder, an empty environment, README.md and the wheel."""

    def __init__(self, folder):
        self.folder = folder
        self.python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        ours = ("PYTHON", "KASPI_", "DJANGO_", "COVERAGE_", "VIRTUAL_ENV")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def ship(self, wheel):
        """Install, write the three steps, and see one order booked once."""
        venv.create(self.folder / "venv", with_pip=True)
        self.run("-m", "pip", "install", "--quiet", str(wheel))
        self.run("-m", "pip", "check")
        home = self.run("-c", WHERE)
        expect(str(self.folder / "venv") in home, f"imported from {home}")
        self.start_project()
        with self.sandbox() as url:
            self.environment |= {"KASPI_DELIVERY_ENVIRONMENT": "local", "KASPI_DELIVERY_BASE_URL": url}
            self.manage("check", "--fail-level", "ERROR")
            self.manage("makemigrations", "shop")
            self.manage("migrate")
            self.manage("shell", "-c", BUY)
            self.manage("kaspi_worker", "--once")
            self.judge(url)

    def start_project(self):
        """Make a project and an app with Django's own commands, and put README.md's blocks into them."""
        settings, urls, adapter = (block.text for block in steps())
        self.run("-m", "django", "startproject", "config", ".")
        self.run("manage.py", "startapp", "shop")
        self.write("shop/models.py", MODELS)
        self.write("shop/kaspi.py", adapter)
        self.add("config/settings.py", settings.replace("[...,", '[*INSTALLED_APPS, "shop",'))
        self.add("config/urls.py", urls.replace("    ...,", "    *urlpatterns,"))

    @contextmanager
    def sandbox(self):
        """Start the wheel's sandbox on a free port, and yield its address."""
        command = [self.python, "-m", f"{PACKAGE}.sandbox", "--quiet", "--port", "0", "--webhook-url", ""]
        with subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield re.search(r"http://\S+", process.stdout.readline())[0]
            finally:
                process.terminate()
                process.communicate()

    def judge(self, url):
        """Compare what the shop knows with what the sandbox has booked."""
        told = self.manage("shell", "-c", TELL).split()
        with urllib.request.urlopen(f"{url}/_sandbox/deliveries", timeout=PATIENCE_S) as answer:
            booked = json.load(answer)
        say(f"{told} {booked}")
        expect(told[:2] == ["order-1", "created"], f"the shop says {told}")
        expect([one["deliveryId"] for one in booked["deliveries"]] == told[2:], f"the sandbox says {booked}")

    def manage(self, *arguments):
        """Run a management command of the project."""
        return self.run("manage.py", *arguments)

    def run(self, *arguments):
        """Run Python outside of the checkout; return what it said last, or what it has to tell."""
        command = [self.python, *arguments]
        say(" ".join(str(word).strip().splitlines()[0] for word in arguments))
        ended = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        expect(ended.returncode == 0, ended.stdout + ended.stderr)
        return ended.stdout.rpartition("told:")[2].strip()

    def write(self, name, text):
        """Write a file of the project."""
        (self.folder / name).write_text(text)

    def add(self, name, text):
        """Write something at the end of a file."""
        with (self.folder / name).open("a") as file:
            file.write(f"\n{text}")


def steps():
    """Return the three blocks of Python that README.md has a newcomer write."""
    return [block for block in pages.read("README.md").blocks if block.language == "python"][:3]


def expect(is_so, otherwise):
    """Stop where something is not as it must be."""
    if not is_so:
        raise AssertionError(otherwise)


def say(line):
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201  # a command speaks


if __name__ == "__main__":
    began = time.monotonic()
    main(sys.argv[1:])
    say(f"released: ok, {time.monotonic() - began:.0f} s")
