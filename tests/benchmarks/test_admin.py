"""The benchmark of the admin's pages still runs, and reports every page; how fast is nobody's business here."""

import pytest
from django.apps import apps
from django.contrib.admin import site

from tests.benchmarks.running import figures_of

pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def figures():
    """Run it with a few rows."""
    return figures_of("admin", "--rows", "600")


def test_each_list_is_there_with_its_filters_and_searches(figures):
    """What the app registers is found by itself; so is what a list filters by, and searches for."""
    models = [model for model in apps.get_app_config("kaspi_delivery").get_models() if site.is_registered(model)]
    lists = {str(model._meta.verbose_name_plural) for model in models}
    assert lists <= figures.keys()
    for kind in ("page 2", "last page", "status = ", "search order id", "search a phone's last four digits"):
        assert [label for label in figures if label.startswith(f"deliveries, {kind}")]


def test_each_page_has_its_queries_and_its_ratio(figures):
    """Rendered on both databases, and answered."""
    both = [figure for figure in figures.values() if len(figure["ms"]) == 2]
    assert len(both) > 0.9 * len(figures)
    assert all(figure["ratio"] > 0 and min(figure["facts"]["queries"].values()) > 0 for figure in both)
    assert {status for figure in both for status in figure["facts"]["status"].values()} == {200}


def test_the_dashboard_is_measured_cold_and_warm(figures):
    """The cold one counts what the warm one has in its cache."""
    cold, warm = (figures[f"dashboard, {state}"]["facts"]["queries"] for state in ("cold", "warm"))
    assert cold["large"] > warm["large"]


def test_searches_find_what_they_look_for(figures):
    """The rows that a benchmark makes are found as a shop's own are."""
    found = {label: figure["facts"]["rows"] for label, figure in figures.items() if ", search " in label}
    assert all((rows["large"] == 0) == label.endswith("that nothing has") for label, rows in found.items())
