"""What a project gets when it installs the package."""

import configparser
import re
import runpy
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import kaspi_delivery_django
from tests.docs import pages
from tests.docs.pages import ROOT

NAME = "kaspi-delivery-django"
CORE = {  # versions with the security fixes, and those below
    "django": (("5.2.17", "6.0.8", "6.1"), ("4.2.20", "5.1.15", "5.2.16", "6.0", "6.0.7")),
    "djangorestframework": (("3.17.2",), ("3.17.1",)),
    "requests": (("2.32.4",), ("2.32.3",)),
    "django-environ": (("0.11.2",), ("0.11.1",)),
}
EXTRAS = {
    "postgresql": "psycopg",
    "mysql": "mysqlclient",
    "prometheus": "prometheus-client",
    "celery": "celery",
    "django-tasks": "django-tasks",
    "openapi": "drf-spectacular",
    "labels": "segno",
    "phones": "phonenumbers",
    "relay": "standardwebhooks",
}


def requirements(extra=""):
    """Return what is installed with the package, or with one of its extras beside that."""
    all_of_them = [Requirement(text) for text in metadata.requires(NAME) or []]
    chosen = [r for r in all_of_them if r.marker is None or r.marker.evaluate({"extra": extra})]
    core = {r.name for r in all_of_them if r.marker is None}
    return {r.name: r for r in chosen if not extra or r.name not in core}


def test_the_version_is_in_one_place():
    """The installed version is the package's own, and one that PEP 440 knows."""
    assert metadata.version(NAME) == kaspi_delivery_django.__version__
    assert str(Version(kaspi_delivery_django.__version__)) == kaspi_delivery_django.__version__


def test_the_core_needs_four_packages_with_their_security_fixes():
    """A shop installs four direct dependencies, and no more."""
    allowed = {name: requirement.specifier for name, requirement in requirements().items()}
    assert allowed.keys() == CORE.keys()
    for name, (fixed, below) in CORE.items():
        assert all(allowed[name].contains(version) for version in fixed)
        assert not any(allowed[name].contains(version) for version in below)


def test_each_extra_brings_one_package():
    """No extra disappears or appears by accident."""
    extras = metadata.metadata(NAME).get_all("Provides-Extra")
    assert {extra: "".join(requirements(extra)) for extra in extras} == EXTRAS


def test_what_contributors_need_is_no_extra():
    """Its groups are in pyproject.toml; the tests have what each extra for shops brings, but for a server's driver."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert set(groups) == {"test", "lint", "browser", "benchmarks", "docs"}
    needed = {Requirement(line).name for line in groups["test"]}
    assert needed >= {*EXTRAS.values()} - {"mysqlclient"}


def test_every_kind_of_file_is_named():
    """A wheel holds what setup.cfg names: a page, a style and a script are no modules."""
    wanted = configparser.ConfigParser()
    wanted.read(ROOT / "setup.cfg")
    patterns = wanted["options.package_data"]["kaspi_delivery_django"].split()
    package = ROOT / "kaspi_delivery_django"
    named = {path for pattern in patterns for path in package.glob(pattern)}
    there = {path for path in package.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert there - named == set()


def test_the_classifiers_have_the_supported_versions():
    """Each Python and Django that the tests run on."""
    found = metadata.metadata(NAME).get_all("Classifier")
    pythons = {text.rsplit(" ", 1)[1] for text in found if re.search(r"Python :: 3\.\d+$", text)}
    djangos = {text.rsplit(" ", 1)[1] for text in found if re.search(r"Django :: \d", text)}
    assert pythons == {"3.11", "3.12", "3.13"}
    assert djangos == {"5.2", "6.0", "6.1"}


def test_the_licence_is_one_that_machines_can_read():
    """The metadata carries the SPDX expression."""
    assert metadata.metadata(NAME)["License-Expression"] == "MIT"


SETUP = runpy.run_path(str(ROOT / "setup.py"))
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("source", [None, "https://forge.test/shop/app/"])
def test_an_index_shows_no_relative_link(source):
    """Its page is elsewhere. The blocks and the other links are those of README.md."""
    shown, prose = pages.parse(text := SETUP["for_index"](README, source, "1.2.3"), "README.md")
    links = pages.Page(path="README.md", blocks=shown, prose=prose).links
    assert [link for link in links if "://" not in link and not link.startswith("#")] == []
    assert shown == pages.read("README.md").blocks
    if source:
        assert "](https://forge.test/shop/app/blob/v1.2.3/docs/settings.md)" in text
        assert "![Deliveries in the Django admin](https://forge.test/shop/app/raw/v1.2.3/docs/images/admin.png)" in text


def test_the_repository_is_named_in_one_place():
    """In setup.cfg, among the others; it is not there before there is an address."""
    named = "[metadata]\nproject_urls =\n    Docs = https://docs.test\n    Source = https://forge.test/app\n"
    assert SETUP["source_url"](named) == "https://forge.test/app"
    assert SETUP["source_url"]((ROOT / "setup.cfg").read_text()) is None
