"""Another app that takes our label is named when Django starts, with what to write."""

import sys
from types import SimpleNamespace

import pytest
from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured

OURS = "kaspi_delivery_django"
OWN = "parcels.kaspi_delivery"
OWN_LABEL = """
from django.apps import AppConfig


class Own(AppConfig):
    name, label = "parcels.kaspi_delivery", "own"
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Create our app, as Django does when it starts, in a project that has apps of these names."""
    known = set(sys.modules)
    for package in ("kaspi_delivery", "parcels", "parcels/kaspi_delivery", "own", "own/kaspi_delivery"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "parcels" / "kaspi_delivery" / "apps.py").write_text(OWN_LABEL)
    monkeypatch.syspath_prepend(tmp_path)

    def run(*entries):
        monkeypatch.setattr("kaspi_delivery_django.apps.settings", SimpleNamespace(INSTALLED_APPS=entries))
        return AppConfig.create(OURS)

    yield run
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.mark.parametrize("entries", [["kaspi_delivery", OURS], [OURS, "own.kaspi_delivery"]])
def test_an_app_with_our_label_is_named(start, entries):
    """Before ours or after it."""
    [other] = [entry for entry in entries if entry != OURS]
    with pytest.raises(ImproperlyConfigured) as caught:
        start(*entries)
    assert str(caught.value).startswith(f"'{other}' in INSTALLED_APPS has the label \"kaspi_delivery\"")
    assert 'label = "own_kaspi_delivery"' in str(caught.value)


@pytest.mark.parametrize("entries", [[OWN, OURS], [OURS, f"{OWN}.apps.Own"], [OURS]])
def test_an_app_with_a_label_of_its_own_is_left_alone(start, entries):
    """Its name alone is no trouble."""
    assert start(*entries).label == "kaspi_delivery"
