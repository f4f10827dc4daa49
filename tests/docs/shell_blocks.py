"""Shell blocks: parse each command with the program that it calls, and run those without side effects."""

import argparse
import importlib
import io
import os
import re
import subprocess
import tomllib
from importlib import metadata
from itertools import pairwise
from unittest import mock

from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import SystemCheckError
from packaging.requirements import Requirement

from benchmarks import __main__ as benchmarks
from kaspi_delivery_django import conf
from kaspi_delivery_django.sandbox import cli
from tests import __main__ as tests
from tests.docs import shell
from tests.docs.pages import ROOT

NAME = "kaspi-delivery-django"
PYTHON = re.compile(r"(?:.*/)?python3?")
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
OUTSIDE = {
    "alert-someone": "stands for the reader's own alert",
    "cd": "the reader's folders",
}


class Shell:
    """The variables that commands share."""

    def __init__(self):
        self.variables = {}

    def run(self, command):
        """Let a command be read by its program."""
        self.set(command.variables)
        program, *arguments = command.words
        if PYTHON.fullmatch(program):
            python(arguments)
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


def read_environment(variables):
    """Return what the settings are with these variables."""
    with mock.patch.dict(os.environ, variables):
        return conf.from_env()


def run(block, context, tmp_path):
    """Run, or have read, every command of a block."""
    syntax = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
    assert syntax.returncode == 0, syntax.stderr
    follow(block, shell.commands(block.text))


def run_crontab(block, context, tmp_path):
    """The same for the commands of a crontab."""
    follow(block, shell.scheduled(block.text))


def follow(block, commands):
    """Follow the commands in a shell of their own; fail if there are none."""
    commands = list(commands)
    assert commands, "a block without a command"
    one = Shell()
    for command in commands:
        one.run(command)


def python(arguments):
    """Read `python manage.py …` and `python -m …`."""
    kind, *rest = arguments
    if kind.endswith("manage.py"):
        manage(rest)
        return
    assert kind == "-m", f"python {kind}"
    assert rest[0] in MODULES, f"no parser for the options of {rest[0]}"
    MODULES[rest[0]](rest[1:])


def manage(arguments):
    """Have a management command read its options, and run it if it ends by itself and harms nothing."""
    name, *options = arguments
    assert name in get_commands(), f"no command is called {name}"
    app = get_commands()[name]
    command = load_command_class(app, name) if isinstance(app, str) else app
    parsed = command.create_parser("manage.py", name).parse_args(options)
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


def venv(arguments):
    """See that a folder is named, and no option."""
    assert arguments == [".venv"]


def sandbox(arguments):
    """Have the sandbox read its options."""
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    parser.parse_args(arguments)


MODULES = {
    "benchmarks": benchmarks.parse,
    "kaspi_delivery_django.sandbox": sandbox,
    "pytest": pytest,
    "tests": tests.parse,
    "venv": venv,
}
PROGRAMS = {"celery": celery, "pip": pip}
