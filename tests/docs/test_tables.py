"""The documentation's tables match the code: nothing is missing, nothing is invented."""

import re
from importlib import metadata, resources

import pytest
from django.core.management import get_commands

from kaspi_delivery_django import client, conf, models, services
from kaspi_delivery_django.contrib.relay import conf as relay
from kaspi_delivery_django.stats.metrics import METRICS
from tests.docs import files, pages
from tests.docs.conftest import SIGNALS
from tests.docs.shell_blocks import NAME
from tests.test_packaging import requirements

EVERYTHING = "\n".join((pages.ROOT / page.path).read_text() for page in pages.pages())
ID = re.compile(r"kaspi_delivery\.([EWI]\d{3})")
FOREIGN = {
    "db_worker": "of django-tasks-db, which has a test environment of its own",
    "oscar_fork_app": "of django-oscar, likewise",
}
VARIABLE = re.compile(r"\bKASPI_DELIVERY_([A-Z_]+)")


def first_cells(path):
    """Return what a page's tables have in code in their first column."""
    return {cell[0].strip("`") for cell in pages.read(path).rows if cell[0].startswith("`")}


def code_of(package):
    """Return the package's source, as one text."""
    folder = resources.files(package)
    return "\n".join(path.read_text() for path in folder.rglob("*.py"))


def test_every_setting_is_in_the_table():
    """Each key of KASPI_DELIVERY, and no other."""
    named = {name for name in first_cells("docs/settings.md") if name.isupper()}
    assert named == set(conf.KEYS)


def test_an_environment_variable_is_named_where_it_is_read(monkeypatch):
    """The table's second column has the variables of `from_env`."""
    for key in conf.KEYS:
        monkeypatch.setenv(f"KASPI_DELIVERY_{key}", "1")
    columns = {cells[0].strip("`"): cells[1] for cells in pages.read("docs/settings.md").rows}
    named = {key for key in conf.KEYS if f"`KASPI_DELIVERY_{key}`" in columns[key]}
    assert named == set(conf.KEYS) & set(conf.from_env())


def test_no_page_names_a_variable_that_is_not_read():
    """A variable that was renamed is renamed everywhere."""
    keys = rf"(?:[A-Z_]+_)?(?:{'|'.join(conf.ACCOUNT_KEYS)})|{'|'.join(conf.KEYS)}|RELAY_(?:{'|'.join(relay.KEYS)})"
    known = re.compile(rf"(?:{keys})(?:_FILE)?")  # each may name a file that holds the value
    assert [name for name in VARIABLE.findall(EVERYTHING) if not known.fullmatch(name)] == []


def test_every_runner_is_in_the_table():
    """Each value of RUNNER, with what it needs."""
    named = {cell for page in pages.pages() for cell in first_cells(page.path)}
    assert {f'"{name}"' for name in conf.RUNNERS} <= named


def test_every_check_is_in_a_table():
    """Each id that the code gives, and no id that it never gives."""
    used = set(ID.findall(code_of("kaspi_delivery_django")))
    documented = {match for page in pages.pages() for cells in page.rows for match in ID.findall(cells[0])}
    assert documented == used


def test_every_command_is_documented_and_no_other():
    """With `manage.py` before it at least once, as it is typed."""
    typed = set(re.findall(r"manage\.py (\w+)", EVERYTHING))
    assert {name for name, app in get_commands().items() if app == "kaspi_delivery_django"} <= typed
    assert typed <= set(get_commands()) | set(FOREIGN)


def test_every_extra_is_in_the_readme():
    """With what it brings."""
    rows = {cells[0].strip("`"): cells for cells in pages.read("README.md").rows}
    for extra in metadata.metadata(NAME).get_all("Provides-Extra"):
        assert all(f"`{package}`" in rows[extra][1] for package in requirements(extra))


def test_every_signal_is_documented():
    """By its name."""
    assert [signal for signal in SIGNALS if f"`{signal}" not in EVERYTHING] == []


PUBLIC = {"client": client, "models": models, "services": services}


@pytest.mark.parametrize("package", sorted(PUBLIC))
def test_what_is_imported_from_us_is_public(package):
    """Pages show only names that upgrades keep."""
    module = PUBLIC[package]
    shown = re.findall(rf"^ *from kaspi_delivery_django\.{package} import ([\w, ]+)", EVERYTHING, re.MULTILINE)
    assert {name for names in shown for name in names.split(", ")} <= set(module.__all__)


def test_the_alert_rules_are_readable_and_name_documented_metrics():
    """Prometheus can read docs/alerts.yml, and each rule has a summary and a description."""
    text = (pages.ROOT / "docs" / "alerts.yml").read_text()
    rules = files.alert_rules(text)
    metrics = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bkaspi_delivery_\w+", text)}
    named = {rule["alert"] for rule in rules}
    assert metrics <= first_cells("docs/running.md")
    assert all(rule["annotations"].keys() == {"summary", "description"} for rule in rules)
    assert set(re.findall(r"`(Kaspi[A-Z]\w+)`", EVERYTHING)) - {"KaspiError", "KaspiClient"} <= named


def test_the_alert_rules_have_the_limits_of_the_dashboard():
    """No age is an alarm in one place and fine in another."""
    text = (pages.ROOT / "docs" / "alerts.yml").read_text()
    assert all(f"> {METRICS[name].limit:.0f}\n" in text for name in ("due_age", "silence", "worker_age"))


def test_every_reason_has_something_to_do():
    """Each reason is in the table of manual review."""
    assert set(models.Attention.values) <= first_cells("docs/running.md")


LOGGED = ("circuit breaker opened", "order not followed", "webhook rejected", "Kaspi announces", "request_id=")
BUTTONS = (
    *("Cancel delivery", "Ask Kaspi now", "Retry now", "Send it", "Link Kaspi's delivery", "Rebook"),
    *("Acknowledge", "Mark as final", "Replay"),
)


def test_what_a_page_names_is_in_the_code():
    """Log lines to look for are written, and buttons have the names of the documentation."""
    assert [text for text in LOGGED if text not in code_of("kaspi_delivery_django")] == []
    admin = code_of("kaspi_delivery_django.admin")
    assert [label for label in BUTTONS if f'label=_("{label}")' not in admin] == []
    assert set(BUTTONS) <= {cells[0] for cells in pages.read("docs/admin.md").rows}
