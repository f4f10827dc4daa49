"""Another app that takes our label is named when Django starts, with what to write."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = "kaspi_delivery_django"
START = """
import sys, django
from django.conf import settings
settings.configure(INSTALLED_APPS=["django.contrib.contenttypes", "rest_framework", *sys.argv[1:]])
try:
    django.setup()
except django.core.exceptions.ImproperlyConfigured as err:
    print(err)
"""
OWN = "parcels.kaspi_delivery"
OWN_LABEL = """
from django.apps import AppConfig


class Own(AppConfig):
    name, label = "parcels.kaspi_delivery", "own"
"""


@pytest.fixture
def start(tmp_path):
    """Start a project that has apps of these names; return what Django says."""
    for package in ("kaspi_delivery", "parcels", "parcels/kaspi_delivery", "own", "own/kaspi_delivery"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "parcels" / "kaspi_delivery" / "apps.py").write_text(OWN_LABEL)

    def run(*entries):
        command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n{START}"]
        return subprocess.run([*command, *entries], capture_output=True, text=True, check=True, timeout=600).stdout

    return run


@pytest.mark.parametrize("entries", [["kaspi_delivery", OURS], [OURS, "own.kaspi_delivery"]])
def test_an_app_with_our_label_is_named(start, entries):
    """Before ours or after it."""
    [other] = [entry for entry in entries if entry != OURS]
    said = start(*entries)
    assert said.startswith(f"'{other}' in INSTALLED_APPS has the label \"kaspi_delivery\"")
    assert 'label = "own_kaspi_delivery"' in said


@pytest.mark.parametrize("entries", [[OWN, OURS], [OURS, f"{OWN}.apps.Own"], [OURS]])
def test_an_app_with_a_label_of_its_own_is_left_alone(start, entries):
    """Its name alone is no trouble."""
    assert start(*entries) == ""
