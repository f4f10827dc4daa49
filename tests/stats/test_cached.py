"""Figures in the cache."""

import pytest
from django.core.cache import cache
from django.db import connection

from kaspi_delivery_django.stats import cached


@pytest.fixture(autouse=True)
def _empty():
    """Begin and end with an empty cache."""
    cache.clear()
    yield
    cache.clear()


def test_what_is_kept_is_recalled():
    """Nothing that was not kept is there, and None can be kept."""
    cached.keep("a", 1, 60)
    cached.keep("b", None, 60)
    assert cached.recall(["a", "b", "c"]) == {"a": 1, "b": None}


@pytest.mark.parametrize("what", ["schema_name", "NAME"])
def test_tenants_share_no_figures(monkeypatch, what):
    """They may have one alias and one cache, and a schema or a database each."""
    cached.keep("a", 1, 60)
    if what == "NAME":
        monkeypatch.setitem(connection.settings_dict, "NAME", "another")
    else:
        monkeypatch.setattr(connection, "schema_name", "almaty", raising=False)
    assert cached.recall(["a"]) == {}
