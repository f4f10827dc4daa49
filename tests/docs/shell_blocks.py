"""Shell blocks: parse each command with the program that it calls, and run those without side effects."""

import argparse
import importlib
import io
import os
import re
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from functools import partial
from importlib import metadata
from itertools import pairwise
from string import Template
from unittest import mock
from urllib.parse import urlsplit

import requests
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import SystemCheckError
from django.db.migrations.loader import MigrationLoader
from django.test import Client
from packaging.requirements import Requirement

from benchmarks import __main__ as benchmarks
from kaspi_delivery_django import conf
from kaspi_delivery_django.sandbox import cli, defaults
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import SandboxServer
from tests import __main__ as tests
from tests.conftest import PATIENCE_S
from tests.docs import shell
from tests.docs.pages import ROOT
from tests.storm import __main__ as storm

NAME = "kaspi-delivery-django"
PYTHON = re.compile(r"(?:.*/)?python3?")
ORDER = """{"externalOrderId": "order-1",
 "pickup": {"address": "Tole bi 59", "contact": {"name": "Warehouse", "phone": "+7 727 111 0000"}},
 "dropoff": {"address": "Abay 10", "contact": {"name": "Customer", "phone": "+7 701 222 0000"}},
 "parcel": {"description": "Books", "weightGrams": 1200, "valueKzt": 45000}}"""
ENDS_BY_ITSELF = {
    "check",
    "kaspi_enqueue",
    "kaspi_operators",
    "kaspi_prune",
    "kaspi_replay",
    "kaspi_report",
    "makemigrations",
}
A_FINDING = 1  # what a report that is about something ends with
FOREIGN = {
    "db_worker": "of django-tasks-db, which has a test environment of its own",
    "oscar_fork_app": "of django-oscar, likewise",
}
OUTSIDE = {
    "alert-someone": "stands for the reader's own alert",
    "cd": "the reader's folders",
    "pre-commit": "not part of an extra; CONTRIBUTING.md offers it to those who have it",
    "source": "the reader's own environment",
}


class Shell:
    """State that commands share: variables, and a sandbox for requests to Kaspi."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.variables = {}

    def run(self, command):
        """Let a command be read by its program."""
        self.set(command.variables)
        if not command.words:
            return
        program, *arguments = [Template(word).safe_substitute(self.variables) for word in command.words]
        if PYTHON.fullmatch(program):
            python(arguments)
        elif program == "curl":
            self.curl(arguments)
        elif program == "export":
            self.set(dict(one.split("=", 1) for one in arguments))
        elif program not in OUTSIDE:
            name = program.rsplit("/", 1)[-1]
            assert name in PROGRAMS, f"no parser for the options of {name}"
            PROGRAMS[name](arguments)

    def set(self, variables):
        """Keep variables, and see that ours are those that the settings read."""
        self.variables.update(variables)
        for name in variables:
            if name.startswith("KASPI_DELIVERY_"):
                ours = {name: value for name, value in self.variables.items() if name.startswith("KASPI_DELIVERY_")}
                found = read_environment(ours)
                others = {other: value for other, value in ours.items() if other != name}
                assert found != read_environment(others), f"no setting is read from {name}"
                conf.parse(found, debug=True)

    def curl(self, arguments):
        """Send a request to the sandbox or to the project's own URLs; fail if the response is an error."""
        options = CURL.parse_args(arguments)
        headers = dict(header.split(": ", 1) for header in options.header)
        method = options.request or ("POST" if options.data else "GET")
        if options.url.startswith(defaults.BASE_URL):
            url = options.url.replace(defaults.BASE_URL, self.sandbox.url)
            response = requests.request(method, url, data=options.data, headers=headers, timeout=PATIENCE_S)
        else:
            target = urlsplit(options.url)
            send = getattr(Client(), method.lower())
            response = send(f"{target.path}?{target.query}", options.data, "application/json", headers=headers)
        status = response.status_code
        assert status < 400 or (method, status) == ("GET", 405), f"curl {options.url} returned {status}"


def read_environment(variables):
    """Return what the settings are with these variables."""
    with mock.patch.dict(os.environ, variables):
        return conf.from_env()


def run(block, context, tmp_path):
    """Run, or have read, every command of a block."""
    syntax = subprocess.run(["bash", "-n"], input=typed(block), text=True, capture_output=True, check=False)
    assert syntax.returncode == 0, syntax.stderr
    follow(block, shell.commands(block.text))


def run_crontab(block, context, tmp_path):
    """The same for the commands of a crontab."""
    follow(block, shell.scheduled(block.text))


def typed(block):
    """Return the commands as a shell reads them."""
    lines = block.text.splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = shell.marked(lines)
    return "\n".join(lines) + "\n"


def follow(block, commands):
    """Follow the commands in a shell of their own; fail if there are none."""
    commands = list(commands)
    assert commands, "a block without a command"
    with ExitStack() as until_read:
        uses_curl = any(command.words[:1] == ("curl",) for command in commands)
        one = Shell(until_read.enter_context(SandboxServer(FakeKaspi())) if uses_curl else None)
        if uses_curl:
            one.variables.update(BASE=defaults.BASE_URL, ID=book(one.sandbox))
        for command in commands:
            one.run(command)


def book(sandbox):
    """Book the delivery of the examples."""
    headers = {"x-api-key": defaults.API_KEY, "Idempotency-Key": "order-1", "Content-Type": "application/json"}
    response = requests.post(f"{sandbox.url}/v1/deliveries", ORDER, headers=headers, timeout=PATIENCE_S)
    return response.json()["deliveryId"]


def python(arguments):
    """Read `python manage.py …` and `python -m …`, and run `python -c …`."""
    kind, *rest = arguments
    if kind.endswith("manage.py"):
        manage(rest)
    elif kind == "-c":
        subprocess.run([sys.executable, "-c", *rest], capture_output=True, check=True)
    else:
        assert kind == "-m", f"python {kind}"
        assert rest[0] in MODULES, f"no parser for the options of {rest[0]}"
        MODULES[rest[0]](rest[1:])


def manage(arguments):
    """Have a management command read its options, and run it if it ends by itself and harms nothing."""
    name, *options = arguments
    if name in FOREIGN:
        return
    assert name in get_commands(), f"no command is called {name}"
    app = get_commands()[name]
    command = load_command_class(app, name) if isinstance(app, str) else app
    parsed = command.create_parser("manage.py", name).parse_args(options)
    if name == "migrate" and parsed.migration_name:
        MigrationLoader(None).get_migration_by_prefix(parsed.app_label, parsed.migration_name)
    if name in ENDS_BY_ITSELF or getattr(parsed, "once", False):
        assert exit_code(name, options) in {0, A_FINDING}


def exit_code(name, options):
    """Run a management command in silence."""
    try:
        call_command(name, *options, stdout=io.StringIO(), stderr=io.StringIO())
    except SystemExit as end:
        return end.code
    except SystemCheckError:
        return A_FINDING
    return 0


def pip(arguments):
    """See that what is installed is this package, with extras and groups that it has, or a tool."""
    assert arguments[0] == "install"
    extras = set(metadata.metadata(NAME).get_all("Provides-Extra"))
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    for flag, word in pairwise(arguments):
        if flag == "--group":
            assert word in groups, f"{word}: no such group"
        elif not word.startswith("-") and not word.endswith(".whl"):
            required = Requirement(re.sub(r"^\.(?=$|\[)", NAME, word))
            assert required.name != NAME or required.extras <= extras, f"{word}: no such extra"


def tox(arguments):
    """See that the environments exist."""
    known = set(re.findall(r"^\[testenv:([\w-]+)", (ROOT / "tox.ini").read_text(), re.MULTILINE))
    chosen = [name for flag, name in pairwise(arguments) if flag == "-e"]
    assert chosen, "no environment is named"
    assert set(chosen) - known == set()


def pytest(arguments):
    """See that the paths exist."""
    paths = [word for word in arguments if word.startswith(("tests", "example_project"))]
    assert paths, "no path of a test"
    assert [path for path in paths if not (ROOT / path).exists()] == []


def celery(arguments):
    """See that one of Celery's own commands has each option."""
    flag, _app, name, *options = arguments
    assert flag == "-A"
    command = importlib.import_module("celery.bin.celery").celery.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in options if word.startswith("-")} - known == set()


def options_of(module, arguments):
    """See that a program's own help names each option; it must be installed, by one of the extras."""
    helped = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    for word in arguments:
        assert not word.startswith("-") or word.split("=")[0] in helped.stdout, f"{module} has no {word}"


def sandbox(arguments):
    """Have the sandbox read its options."""
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    parser.parse_args(arguments)


def curl_parser():
    """Return what of curl's options the pages use."""
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    for flag in ("-i", "-s", "-S", "-f"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data", "--json")
    parser.add_argument("url")
    return parser


CURL = curl_parser()
MODULES = {
    "benchmarks": benchmarks.parse,
    "kaspi_delivery_django.sandbox": sandbox,
    "pytest": pytest,
    "tests": tests.parse,
    "tests.catalogues": partial(options_of, "tests.catalogues"),
    "tests.storm": storm.parse,
    "venv": partial(options_of, "venv"),
}
PROGRAMS = {"celery": celery, "manage.py": manage, "pip": pip, "pytest": pytest, "tox": tox}
