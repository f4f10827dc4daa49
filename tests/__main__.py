"""Run the tests on several engines side by side: those that finish in minutes, or all of them.

    python -m tests                              on SQLite and PostgreSQL, without what takes long
    python -m tests --all                        everything, and judge the branch coverage
    python -m tests sqlite mariadb -- -k story   on these engines, with these pytest arguments

What needs no database runs on the first engine alone. tests/kinds.py says what takes long: `--all` runs that last,
without coverage, because coverage doubles its time. Two gates count what the others cover on SQLite and PostgreSQL:
`fail_under` in pyproject.toml for the package, and every branch of what books and moves deliveries.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests import kinds

ROOT = Path(__file__).resolve().parent.parent
ENGINES = ("sqlite", "postgresql", "mariadb")
DEFAULT_ENGINES = ("sqlite", "postgresql")
NONE_SELECTED = 5  # pytest's exit code
SLOW = [place for places in kinds.SLOW.values() for place in places]
CORE = "kaspi_delivery_django/services/*,kaspi_delivery_django/statuses.py"


def main(arguments):
    """Run every part, say how each ended, and return the exit code."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="kaspi-") as folder:
        ended = run_suites(options, Path(folder))
        failures = [line for log in Path(folder).glob("*.log") for line in log.read_text().splitlines() if is_bad(line)]
        if options.measured:
            ended["coverage"] = report_coverage(folder)
    if options.measured:
        ended["core"] = report_core()
    title("  ".join(f"{part} {'FAILED' if code else 'ok'}" for part, code in ended.items()))
    sys.stdout.write("".join(f"{line}\n" for line in failures))  # last, where the end of a log shows them
    return int(any(ended.values()))


def is_bad(line):
    """Return whether pytest names a test here that failed."""
    return line.startswith(("FAILED ", "ERROR "))


def parse(arguments):
    """Split the engines from what follows `--`, which is for pytest."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    usage = "%(prog)s [--all] [engine ...] [-- pytest argument ...]"
    parser = argparse.ArgumentParser(prog="python -m tests", usage=usage)
    parser.add_argument("--all", action="store_true", help="also what takes long")
    parser.add_argument("engines", nargs="*", help=", ".join(ENGINES))
    options = parser.parse_args(arguments[:cut])
    options.engines = options.engines or DEFAULT_ENGINES
    for engine in options.engines:
        if engine not in ENGINES:
            parser.error(f"no engine is called {engine!r}; there are {', '.join(ENGINES)}")
    options.pytest = arguments[cut + 1 :]
    options.measured = options.all and not options.pytest and set(DEFAULT_ENGINES) <= set(options.engines)
    return options


def run_suites(options, folder):
    """Run pytest on each engine at the same time; show their logs when all have ended, those that failed last."""
    first, *others = options.engines
    if not others:
        title(f"pytest on {first}")
        return {first: run_engine(options, first, folder, None)}
    title(f"pytest on {', '.join(options.engines)}, side by side; the logs are shown when all have ended")
    with ExitStack() as stack:
        logs = {engine: stack.enter_context((folder / f"{engine}.log").open("w")) for engine in options.engines}
        pool = stack.enter_context(ThreadPoolExecutor())
        runs = {engine: pool.submit(run_engine, options, engine, folder, log) for engine, log in logs.items()}
        failed = {engine: run.result() for engine, run in runs.items()}
    for engine in sorted(failed, key=lambda engine: bool(failed[engine])):
        title(f"pytest on {engine}: {'FAILED' if failed[engine] else 'ok'}")
        sys.stdout.write((folder / f"{engine}.log").read_text())
    return failed


def run_engine(options, engine, folder, log):
    """Run the parts on one engine, one after the other, in a temporary folder; return the first bad exit code."""
    (folder / engine).mkdir()
    settings = {"DATABASE": engine, "TMPDIR": str(folder / engine)}
    is_first, codes = engine == options.engines[0], []
    for module, arguments in parts(options):
        chosen = arguments if is_first else [*arguments, "--engine-only"]
        process = command(*module, *chosen, COVERAGE_FILE=str(folder / ".coverage"), **settings)
        codes.append(subprocess.run(**process, stdout=log, stderr=log and subprocess.STDOUT, check=False).returncode)
    nothing = () if is_first else (NONE_SELECTED,)  # of what was chosen nothing needs a database
    return next((code for code in codes if code and code not in nothing), 0)


def parts(options):
    """Yield how pytest is started, and with which arguments: the fast tests first, then what takes long."""
    pytest, coverage = ["pytest"], ["coverage", "run", "-m", "pytest"]
    if options.pytest:
        yield pytest, options.pytest
        return
    fast = [f"--ignore={place}" for place in SLOW]
    yield (coverage if options.measured else pytest), fast if options.all else [*fast, "-m", "not thorough"]
    if options.all:
        yield pytest, SLOW


def report_coverage(folder):
    """Print what all of the runs covered together; `.coverage` stays for `coverage html`."""
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["report"]["fail_under"]
    title(f"coverage, at least {least} %")
    combine, report = command("coverage", "combine", "--quiet", folder), command("coverage", "report")
    return subprocess.run(**combine, check=False).returncode or subprocess.run(**report, check=False).returncode


def report_core():
    """See that no branch of the services and the statuses is left out."""
    title("coverage of services and statuses, 100 %")
    report = command("coverage", "report", f"--include={CORE}", "--fail-under=100")
    return subprocess.run(**report, check=False).returncode


def command(module, *arguments, **environment):
    """Return what `subprocess` needs to run a module in the project's folder, on SQLite by default."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE": "sqlite", **environment}
    arguments = [sys.executable, "-m", module, *map(str, arguments)]
    return {"args": arguments, "cwd": ROOT, "env": {**os.environ, **settings}}


def title(text):
    """Print a line that stands out between the parts' own output."""
    print(f"\n--- {text} ---", flush=True)  # noqa: T201  # a command speaks


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
