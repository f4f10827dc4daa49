"""Blocks that are files of other programs: parsed as strictly as can be done without those programs."""

import configparser
import json
import re
from http import HTTPStatus

import crossplane
import promql_parser
import tinycss2
import yaml
from django.template.backends.django import DjangoTemplates
from django.test import Client

from tests.docs import shell, shell_blocks
from tests.docs.pages import ROOT

IN_HTTP = "events {}\nhttp {\n%s\n}\n"
AROUND = {"location": "events {}\nhttp {\nserver {\n%s\n}\n}\n", "http": "events {}\n%s\n"}
FIGURE = re.compile(r"\d+|\{[^{}]*\}")  # a number in a page, and what an f-string puts there
SIZES = {"k": 1024, "m": 1024**2}
SHAPE = r"(?P<%s>\w+)(?:\[\(?|\(\[)?(?:\"(?P<%s_label>[^\"]+)\")?(?:\)?\]|\]\))?"
ARROW = re.compile(rf"\s+{SHAPE % (('start',) * 2)} -->(?:\|\"[^\"|]+\"\|)? {SHAPE % (('end',) * 2)}")
SYSTEMD = {
    "Unit": {"Description"},
    "Service": {"User", "WorkingDirectory", "EnvironmentFile", "ExecStart", "Restart", "TimeoutStopSec"},
    "Install": {"WantedBy"},
}


def nginx(block, context, tmp_path):
    """Nginx's own directives in their places, and a limit that lets through what the webhook takes."""
    first = re.search(r"^\s*(\w+)", block.text, re.MULTILINE)
    path = tmp_path / "nginx.conf"
    path.write_text(AROUND.get(first[1], IN_HTTP) % block.text)
    read = crossplane.parse(str(path), strict=True, single=True)
    assert [error["error"] for error in read["errors"]] == []
    for size in re.findall(r"client_max_body_size\s+(\d+)([km]);", block.text):
        more = b" " * (int(size[0]) * SIZES[size[1]] + 1)
        response = Client().post("/kaspi/webhook/", more, "application/json")
        assert response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "nginx refuses what the webhook accepts"


def toctree(block, context, tmp_path):
    """A list of pages of the site: each is there."""
    names = [line for line in block.text.splitlines() if line and not line.startswith(":")]
    folder = (ROOT / block.page).parent
    missing = [name for name in names if not (folder / f"{name}.md").is_file()]
    assert names
    assert not missing, f"no such page: {missing}"


def alert_rules(text):
    """Return the alert rules of a YAML document; each is one that Prometheus can read."""
    rules = [rule for group in yaml.safe_load(text).get("groups", ()) for rule in group["rules"]]
    for rule in rules:
        assert rule.keys() - {"alert", "record", "expr", "for", "labels", "annotations"} == set()
        promql_parser.parse(rule["expr"])
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
    return rules


def ini(block, context, tmp_path):
    """A unit of systemd, with sections and keys that it knows; it starts what can be started."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read_string(block.text)
    for name in unit.sections():
        assert set(unit[name]) - SYSTEMD[name] == set()
    shell_blocks.follow(block, shell.simple(unit["Service"]["ExecStart"]))


def json_file(block, context, tmp_path):
    """JSON."""
    json.loads(block.text)


def template(block, context, tmp_path):
    """A template of Django's, rendered for an order in the frame that it extends."""
    (tmp_path / "base.html").write_text("{% block head %}{% endblock %}{% block main %}{% endblock %}")
    options = {"context_processors": []}
    engine = DjangoTemplates({"NAME": "docs", "DIRS": [tmp_path], "APP_DIRS": True, "OPTIONS": options})
    assert engine.from_string(block.text).render({"order": context["order"], "delivery": context["delivery"]}).strip()


def css(block, context, tmp_path):
    """Rules for classes and custom properties that our own style sheets have."""
    ours = "".join(sheet.read_text() for sheet in (ROOT / "kaspi_delivery_django").rglob("*.css"))
    rules = tinycss2.parse_stylesheet(block.text, skip_comments=True, skip_whitespace=True)
    assert [rule.message for rule in rules if rule.type == "error"] == []
    named = re.findall(r"\.[a-z][\w-]*(?=[^{}]*\{)|--[\w-]+", block.text)
    assert [name for name in named if name not in ours] == []


def mermaid(block, context, tmp_path):
    """A flowchart: its lines are arrows, each node has one label, and each label that is a path is a file of ours."""
    kind, *lines = filter(str.strip, block.text.splitlines())
    assert re.fullmatch(r"flowchart (LR|TD)", kind), kind
    labels = {}
    for line in lines:
        arrow = ARROW.fullmatch(line)
        assert arrow, f"no arrow: {line.strip()}"
        for name, label in (arrow.group("start", "start_label"), arrow.group("end", "end_label")):
            assert label is None or name not in labels, f"two labels of {name}"
            assert label or name in labels, f"no label of {name}"
            labels.setdefault(name, label)
    files = [label for label in labels.values() if label.endswith(".py")]
    assert files
    assert [file for file in files if not (ROOT / "kaspi_delivery_django" / file).exists()] == []


def text(block, context, tmp_path):
    """What something prints, in the words that a test of the project waits for."""
    waited_for = FIGURE.sub("#", "".join(test.read_text() for test in (ROOT / "tests").rglob("test_*.py")))
    lines = [FIGURE.sub("#", line.strip()) for line in block.text.splitlines()]
    assert [line for line in lines if line not in waited_for] == []
