"""The documentation's tables match the code: nothing is missing, nothing is invented."""

import re
from importlib import metadata, resources

import pytest
from django.core.management import get_commands

from kaspi_delivery_django import checks, client, conf, models, services
from kaspi_delivery_django.contrib.relay import conf as relay
from kaspi_delivery_django.stats.metrics import METRICS
from tests.docs import files, pages
from tests.docs.conftest import SIGNALS
from tests.docs.shell_blocks import FOREIGN, NAME
from tests.test_packaging import requirements

EVERYTHING = "\n".join((pages.ROOT / page.path).read_text() for page in pages.pages())
ID = re.compile(r"kaspi_delivery\.([EWI]\d{3})")
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


@pytest.mark.parametrize("key", sorted(conf.KEYS))
def test_an_environment_variable_is_named_where_it_is_read(key, monkeypatch):
    """The table's second column is `from_env`'s own knowledge."""
    monkeypatch.setenv(f"KASPI_DELIVERY_{key}", "1")
    [row] = [cells for cells in pages.read("docs/settings.md").rows if cells[0] == f"`{key}`"]
    assert (f"`KASPI_DELIVERY_{key}`" in row[1]) is (key in conf.from_env())


def test_no_page_names_a_variable_that_nobody_reads():
    """A variable that was renamed is renamed everywhere."""
    keys = rf"(?:[A-Z_]+_)?(?:{'|'.join(conf.ACCOUNT_KEYS)})|{'|'.join(conf.KEYS)}"
    keys = rf"{keys}|RELAY_(?:{'|'.join(relay.KEYS)})"
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


@pytest.mark.parametrize("command", sorted(n for n, app in get_commands().items() if app == "kaspi_delivery_django"))
def test_every_command_is_documented(command):
    """With `manage.py` before it at least once, as it is typed."""
    assert re.search(rf"manage\.py {command}\b", EVERYTHING)


def test_no_page_names_a_command_that_is_not_there():
    """A command that was renamed is renamed everywhere."""
    assert set(re.findall(r"manage\.py (\w+)", EVERYTHING)) <= set(get_commands()) | set(FOREIGN)


@pytest.mark.parametrize("extra", sorted(metadata.metadata(NAME).get_all("Provides-Extra")))
def test_every_extra_is_in_the_readme(extra):
    """With what it brings."""
    rows = {cells[0].strip("`"): cells for cells in pages.read("README.md").rows}
    assert all(f"`{package}`" in rows[extra][1] for package in requirements(extra))


@pytest.mark.parametrize("signal", sorted(SIGNALS))
def test_every_signal_is_documented(signal):
    """By its name."""
    assert f"`{signal}" in EVERYTHING


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


@pytest.mark.parametrize("name", ["due_age", "silence", "worker_age"])
def test_the_alert_rules_have_the_limits_of_the_dashboard(name):
    """No age is an alarm in one place and fine in another."""
    assert f"> {METRICS[name].limit:.0f}\n" in (pages.ROOT / "docs" / "alerts.yml").read_text()


@pytest.mark.parametrize("reason", sorted(models.Attention.values))
def test_every_reason_has_something_to_do(reason):
    """Each reason is in the table of manual review."""
    assert reason in first_cells("docs/running.md")


def test_the_checks_tag_is_the_ids_beginning():
    """`check --tag kaspi_delivery` finds them all."""
    assert checks.TAG == "kaspi_delivery"


LOGGED = ["circuit breaker opened", "order not followed", "webhook rejected", "Kaspi announces", "request_id="]


@pytest.mark.parametrize("text", LOGGED)
def test_a_log_line_to_look_for_is_written(text):
    """Whoever greps for it finds it."""
    assert text in code_of("kaspi_delivery_django")


BUTTONS = [
    "Cancel delivery",
    "Ask Kaspi now",
    "Retry now",
    "Send it",
    "Link Kaspi's delivery",
    "Rebook",
    "Acknowledge",
    "Mark as final",
]


@pytest.mark.parametrize("label", [*BUTTONS, "Replay"])
def test_a_button_has_the_name_of_the_documentation(label):
    """Staff find what the pages name."""
    assert f'label=_("{label}")' in code_of("kaspi_delivery_django.admin")
    assert any(cells[0] == label for cells in pages.read("docs/admin.md").rows)
