"""Run the whole suite once per engine, and measure branch coverage over all of the runs where that is to be judged.

    python -m tests                              on SQLite and PostgreSQL
    python -m tests sqlite mariadb -- -k story   on these engines, with these pytest arguments

Two gates count when the whole suite ran on SQLite and PostgreSQL: `fail_under` in pyproject.toml for
the package, and every branch of what books and moves deliveries. Any other choice is not measured, and faster.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINES = ("sqlite", "postgresql", "mariadb")
DEFAULT_ENGINES = ("sqlite", "postgresql")
HEART = "kaspi_delivery_django/services/*,kaspi_delivery_django/lifecycle.py"


def main(arguments):
    """Run every part, say how each ended, and return the exit code."""
    engines, pytest_arguments = parse(arguments)
    ended = {"migrations": check_migrations()}
    least = gate(engines, pytest_arguments)
    if least is None:
        ended |= {engine: run_suite(engine, pytest_arguments) for engine in engines}
    else:
        ended |= run_measured(engines, least)
    title("  ".join(f"{part} {'FAILED' if code else 'ok'}" for part, code in ended.items()))
    return int(any(ended.values()))


def parse(arguments):
    """Split the engines from what follows `--`, which is for pytest."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="python -m tests", usage="%(prog)s [engine ...] [-- pytest argument ...]")
    parser.add_argument("engine", nargs="*", help=", ".join(ENGINES))
    engines = parser.parse_args(arguments[:cut]).engine or DEFAULT_ENGINES
    for engine in engines:
        if engine not in ENGINES:
            parser.error(f"no engine is called {engine!r}; there are {', '.join(ENGINES)}")
    return engines, arguments[cut + 1 :]


def check_migrations():
    """See that the models need no new migration."""
    title("makemigrations --check")
    return run("django", "makemigrations", "--check", "--dry-run", DATABASE="sqlite")


def run_measured(engines, least):
    """Run the whole suite on each engine, and judge what the runs covered together."""
    with tempfile.TemporaryDirectory(prefix="kaspi-delivery-coverage-") as folder:
        ended = {engine: run_suite(engine, (), folder) for engine in engines}
        ended["coverage"] = report_coverage(folder, least)
    ended["heart"] = report_heart()
    return ended


def run_suite(engine, pytest_arguments, folder=None):
    """Run pytest on one engine; with a folder, keep there what it covered."""
    title(f"pytest on {engine}")
    if folder is None:
        return run("pytest", *pytest_arguments, DATABASE=engine)
    measured = {"DATABASE": engine, "COVERAGE_FILE": str(Path(folder, f".coverage.{engine}"))}
    return run("coverage", "run", "-m", "pytest", **measured)


def gate(engines, pytest_arguments):
    """Return the least coverage, in percent, that this choice of tests must reach, or None."""
    if pytest_arguments or not set(DEFAULT_ENGINES) <= set(engines):
        return None
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return str(settings["tool"]["coverage"]["report"]["fail_under"])


def report_coverage(folder, least):
    """Print what all of the runs covered together; `.coverage` stays for `coverage html`."""
    title(f"coverage, at least {least} %")
    return run("coverage", "combine", "--quiet", folder) or run("coverage", "report", f"--fail-under={least}")


def report_heart():
    """See that no branch of the services and the lifecycle is left out."""
    title("coverage of services and lifecycle, 100 %")
    return run("coverage", "report", f"--include={HEART}", "--fail-under=100")


def run(module, *arguments, **environment):
    """Run a module in a process of its own, in the project's folder."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings", **environment}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, check=False).returncode


def title(text):
    """Print a line that stands out between the parts' own output."""
    print(f"\n--- {text} ---", flush=True)  # noqa: T201  # a command speaks


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
