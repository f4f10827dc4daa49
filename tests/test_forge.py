"""The forge's files agree with the project: its lanes, versions and commands."""

import re

import pytest
import yaml
from django.core.management import get_commands

from kaspi_delivery_django import conf
from tests.docs.pages import ROOT
from tests.test_matrix import CELLS

FORGE = ROOT / ".github"
FORMS = ("bug.yml", "wish.yml")
SCRIPT = (ROOT / ".ci" / "run").read_text()
ATTRIBUTES = {  # of each element of a form: what it must have, and what it may have
    "markdown": ({"value"}, set()),
    "input": ({"label"}, {"description", "placeholder", "value"}),
    "textarea": ({"label"}, {"description", "placeholder", "value", "render"}),
    "dropdown": ({"label", "options"}, {"description", "multiple", "default"}),
    "checkboxes": ({"label", "options"}, {"description"}),
}


def read(name):
    """Return a file of YAML."""
    return yaml.safe_load((ROOT / name).read_text())


def workflow():
    """Return the workflow. YAML 1.1 reads its key `on` as true."""
    return read(".github/workflows/ci.yml")


def steps(key):
    """Return what the steps of its one job have under a key."""
    [job] = workflow()["jobs"].values()
    return [step[key] for step in job["steps"] if key in step]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_one_that_the_forge_shows(name):
    """It has the keys that are required, elements of known types, and each answer has an id of its own."""
    form = read(f".github/ISSUE_TEMPLATE/{name}")
    assert set(form) == {"name", "description", "body"}
    for element in form["body"]:
        required, optional = ATTRIBUTES[element["type"]]
        assert required <= set(element["attributes"]) <= required | optional
        assert set(element) <= {"type", "id", "attributes", "validations"}
    questions = [element for element in form["body"] if element["type"] != "markdown"]
    assert (
        len({one["id"] for one in questions})
        == len({one["attributes"]["label"] for one in questions})
        == len(questions)
    )


def test_the_form_of_a_bug_names_what_is_there():
    """The runners, and commands of the package."""
    form = read(".github/ISSUE_TEMPLATE/bug.yml")
    [runners] = [one["attributes"]["options"] for one in form["body"] if one.get("id") == "runner"]
    assert runners == list(conf.RUNNERS)
    text = "".join(path.read_text() for path in FORGE.rglob("*.*"))
    assert set(re.findall(r"manage\.py (\w+)", text)) <= set(get_commands())
    assert [path for path in re.findall(r"[\w/]+\.md", text) if not (ROOT / path).exists()] == []


def test_the_workflow_runs_the_lanes_and_nothing_else():
    """Its one command is .ci/run with a lane; what a lane does is written there alone."""
    [job] = workflow()["jobs"].values()
    lanes = re.search(r"^    for name in ([\w ]+); do$", SCRIPT, re.MULTILINE)[1].split()
    assert job["strategy"]["matrix"] == {"lane": lanes}
    [command] = steps("run")
    assert re.fullmatch(r"sudo [^;&|]*\.ci/run \$\{\{ matrix\.lane \}\}", command)


def test_the_workflow_has_what_the_lanes_look_for():
    """Each supported Python, and the databases on the ports of .ci/run, for this machine alone."""
    pythons = "".join(step.get("python-version", "") for step in steps("with")).split()
    supported = {python for python, _django, _engine in CELLS}
    assert {version.replace(".", "") for version in pythons} == supported | {"314"}  # the next one, as in .ci/run
    [job] = workflow()["jobs"].values()
    ports = [port for service in job["services"].values() for port in service["ports"]]
    assert ports == [f"127.0.0.1:{port}:{port}" for port in re.findall(r"is_open (\d+) && return", SCRIPT)]


def test_the_workflow_may_read_and_no_more():
    """A pull request of a stranger gets no right to write, and no secret."""
    assert workflow()["permissions"] == {"contents": "read"}
    assert "secrets." not in (FORGE / "workflows" / "ci.yml").read_text()
    assert {"persist-credentials": False}.items() <= steps("with")[0].items()


def test_updates_are_looked_for_where_something_is_pinned():
    """Each directory is there, and has such files."""
    updates = read(".github/dependabot.yml")["updates"]
    places = {one["package-ecosystem"]: one["directory"].strip("/") for one in updates}
    marks = {"github-actions": ".github/workflows/ci.yml", "pip": "setup.cfg", "docker": "Dockerfile"}
    assert {name: (ROOT / place / marks[name]).exists() for name, place in places.items()} == dict.fromkeys(marks, True)


def test_the_site_is_built_by_the_same_command():
    """As in tox.ini, with a pip that knows groups."""
    commands = read(".readthedocs.yaml")["build"]["commands"]
    built = "python -m sphinx -W --keep-going"
    assert built in commands[-1]
    assert built in (ROOT / "tox.ini").read_text()
    assert any("pip>=25.1" in command for command in commands[:-1])


def test_no_address_is_published():
    """Reports go to the forge's own forms, and are assigned to no one."""
    files = [*FORGE.rglob("*.*"), ROOT / "CODE_OF_CONDUCT.md", ROOT / "SECURITY.md"]
    texts = {path.name: path.read_text() for path in files if path.is_file()}
    assert {name: found for name, text in texts.items() if (found := re.findall(r"\S+@\w+\.\w+|assignees", text))} == {}
