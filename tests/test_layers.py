"""Rules of the package's structure, read from its source: layers, imports, sizes, names and words."""

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "kaspi_delivery_django"
FROM_THE_TOP = (
    ("apps", "urls", "testing"),
    ("views", "receivers", "admin", "api", "management", "contrib", "templatetags"),
    ("services", "checks", "doctor", "serializers", "tracking", "stats"),
    ("orders",),
    ("conf", "models"),
    ("client", "sandbox", "statuses", "timetables", "environment", "formats", "locale", "signals", "exceptions"),
)
LAYERS = {name: len(FROM_THE_TOP) - number for number, names in enumerate(FROM_THE_TOP) for name in names}
WITHOUT_DJANGO = {"client", "sandbox"}
SANDBOX_USERS = {"sandbox", "testing", "management.commands.kaspi_sandbox"}
DJANGO = {"django", "rest_framework", "environ"}
FORBIDDEN_NAMES = {"utils", "helpers", "base", "common"}
APART = {"sandbox", "testing", "contrib", "api"}  # not counted: a shop runs without them
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_PACKAGE_LINES = 18_250
MAX_CHAIN = 12
MAX_MODULES_IN_FOLDER = 16
SMALL_MODULE_LINES = 60
UNIMPORTED = {"apps", "urls", "templatetags", "commands", "locale"}  # Django finds them by their place


@dataclass(frozen=True, kw_only=True)
class Module:
    """One source file: its dotted name inside the package, its text, and its syntax tree."""

    name: str
    is_package: bool
    text: str
    tree: ast.Module

    @property
    def top(self):
        """The first part of the name, which has a layer."""
        return self.name.split(".")[0]

    @property
    def lines(self):
        """The number of lines, all counted."""
        return len(self.text.splitlines())


def read(root):
    """Return the package's modules by name, migrations apart."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root / PACKAGE).with_suffix("").parts
        if "migrations" not in parts:
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            text = path.read_text()
            found[name] = Module(name=name, is_package=is_package, text=text, tree=ast.parse(text))
    return found


def imports(module, modules):
    """Yield (node, absolute name) for each import; a name that is a module counts as one."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = ".".join(filter(None, (anchor(module, node.level), node.module)))
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield node, full if own(full) in modules else source


def anchor(module, level):
    """Return the package that a relative import of this level starts from."""
    if not level:
        return ""
    parts = [PACKAGE, *filter(None, module.name.split("."))]
    up = level - 1 if module.is_package else level
    return ".".join(parts[: len(parts) - up])


def own(name):
    """Return an absolute name's part inside the package; None for another package's name."""
    if name == PACKAGE:
        return ""
    return name.removeprefix(f"{PACKAGE}.") if name.startswith(f"{PACKAGE}.") else None


def edges(module, modules):
    """Return the modules of the package that this one imports."""
    named = (own(name) for _node, name in imports(module, modules))
    return {name for name in named if name}


def graph(modules):
    """Return each module's imports of the package's modules."""
    return {name: edges(module, modules) & modules.keys() for name, module in modules.items()}


def counted(modules):
    """Return the modules whose sizes count."""
    return [module for module in modules.values() if module.name and module.top not in APART]


def layer_violations(modules):
    """Find modules without a layer, and imports that point up."""
    for module in modules.values():
        if module.name and module.top not in LAYERS:
            yield f"{module.name} has no layer"
            continue
        for target in edges(module, modules):
            if LAYERS.get(target.split(".")[0], 0) > LAYERS.get(module.top, 0):
                yield f"{module.name or PACKAGE} imports {target}, which is above it"


def plain_violations(modules):
    """Find imports of Django, or of the rest of the package, in client/ and sandbox/."""
    for module in modules.values():
        if module.top not in WITHOUT_DJANGO:
            continue
        for _node, name in imports(module, modules):
            if name.split(".")[0] in DJANGO:
                yield f"{module.name} imports {name}, and must not need Django"
            if own(name) is not None and own(name).split(".")[0] != module.top:
                yield f"{module.name} imports {name}, outside its folder"


def sandbox_violations(modules):
    """Find imports of the sandbox by anything but its command and the testing kit."""
    for module in modules.values():
        is_user = module.top in SANDBOX_USERS or module.name in SANDBOX_USERS
        if not is_user and any(name.split(".")[0] == "sandbox" for name in edges(module, modules)):
            yield f"{module.name} imports the sandbox"


def circle_violations(modules):
    """Find modules that can be reached from themselves."""
    targets_of = graph(modules)
    for start, targets in targets_of.items():
        seen, pending = set(), list(targets)
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                pending.extend(targets_of.get(name, ()))
        if start in seen:
            yield f"{start} is on a circle of imports"


def chain_violations(modules):
    """Find a chain of imports that is longer than MAX_CHAIN; the testing kit drives the worker, and is apart."""
    if any(circle_violations(modules)):
        return
    targets_of = graph({name: module for name, module in modules.items() if module.top != "testing"})

    @cache
    def longest(name):
        return (name, *max(map(longest, targets_of[name]), key=len, default=()))

    chain = max(map(longest, targets_of), key=len, default=())
    if len(chain) > MAX_CHAIN:
        yield f"{len(chain)} modules import each other in a row: {' > '.join(chain)}"


def lazy_violations(modules):
    """Find imports of the package's modules inside a function, outside apps.py."""
    for module in modules.values():
        inside = {
            id(node)
            for function in functions(module)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        for node, name in imports(module, modules):
            if id(node) in inside and own(name) is not None and module.name.split(".")[-1] != "apps":
                yield f"{module.name}:{node.lineno} imports {name} lazily"


def size_violations(modules):
    """Find modules, functions, folders and a package that are too long, and names that say nothing."""
    for module in modules.values():
        if module.lines > MAX_MODULE_LINES:
            yield f"{module.name} has {module.lines} lines"
        if FORBIDDEN_NAMES & set(module.name.split(".")):
            yield f"{module.name} is a module without a subject"
        for function in functions(module):
            length = function.end_lineno - function.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{module.name}.{function.name} has {length} lines"
    folders = Counter(module.name.rpartition(".")[0] for module in modules.values() if not module.is_package)
    for folder, count in folders.items():
        if count > MAX_MODULES_IN_FOLDER:
            yield f"{folder or PACKAGE} has {count} modules"
    total = sum(module.lines for module in counted(modules))
    if total >= MAX_PACKAGE_LINES:
        yield f"the package has {total} lines"


def small_violations(modules):
    """Find modules under SMALL_MODULE_LINES that one other module imports: they belong into it."""
    importers = defaultdict(set)
    for name, targets in graph(modules).items():
        for target in targets:
            importers[target].add(name)
    for module in counted(modules):
        by = importers[module.name] - {module.name.rpartition(".")[0]}  # its own package names it for others
        is_found = module.is_package or UNIMPORTED & set(module.name.split("."))
        if not is_found and module.lines < SMALL_MODULE_LINES and len(by) == 1:
            yield f"{module.name} has {module.lines} lines and one importer: {', '.join(by)}"


def functions(module):
    """Return every function of a module, methods and inner ones too."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(module.tree) if isinstance(node, kinds)]


RULES = (
    layer_violations,
    plain_violations,
    sandbox_violations,
    circle_violations,
    chain_violations,
    lazy_violations,
    size_violations,
    small_violations,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    """The package violates none of the rules."""
    assert list(rule(read(ROOT))) == []


VIOLATIONS = {
    "an upward import": (
        {"models.py": f"from {PACKAGE}.services import outbox\n", "services/outbox.py": ""},
        "models imports services.outbox, which is above it",
    ),
    "a relative upward import": (
        {"services/outbox.py": "from ..views import webhook\n", "views.py": ""},
        "services.outbox imports views, which is above it",
    ),
    "an upward import for types only": (
        {
            "orders.py": f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {PACKAGE}.checks\n",
            "checks.py": "",
        },
        "orders imports checks, which is above it",
    ),
    "an import from the package's root": (
        {"__init__.py": f"from {PACKAGE} import conf\n", "conf.py": ""},
        f"{PACKAGE} imports conf, which is above it",
    ),
    "a module without a layer": ({"cellar.py": ""}, "cellar has no layer"),
    "a circle of two": (
        {
            "services/inbox.py": f"from {PACKAGE}.services import status\n",
            "services/status.py": f"from {PACKAGE}.services.inbox import receive\n",
        },
        "services.inbox is on a circle of imports",
    ),
    "a circle through a package": (
        {
            "services/__init__.py": f"from {PACKAGE}.services.inbox import receive\n",
            "services/inbox.py": f"from {PACKAGE}.services import request_delivery\n",
        },
        "services is on a circle of imports",
    ),
    "a long chain": (
        {
            **{f"services/m{n}.py": f"from {PACKAGE}.services import m{n + 1}\n" for n in range(MAX_CHAIN)},
            f"services/m{MAX_CHAIN}.py": "",
        },
        f"{MAX_CHAIN + 1} modules import each other in a row: "
        + " > ".join(f"services.m{n}" for n in range(MAX_CHAIN + 1)),
    ),
    "Django in the client": (
        {"client/http.py": "from django.conf import settings\n"},
        "client.http imports django.conf, and must not need Django",
    ),
    "Django in the sandbox, in a function": (
        {"sandbox/api.py": "def make():\n    import rest_framework.views\n"},
        "sandbox.api imports rest_framework.views, and must not need Django",
    ),
    "the package in the sandbox": (
        {"sandbox/api.py": f"from {PACKAGE}.client import sign\n", "client/__init__.py": ""},
        f"sandbox.api imports {PACKAGE}.client, outside its folder",
    ),
    "the sandbox in the package": (
        {"conf.py": f"from {PACKAGE}.sandbox import api\n", "sandbox/api.py": ""},
        "conf imports the sandbox",
    ),
    "a lazy import": (
        {"views.py": f"def view():\n    from {PACKAGE} import conf\n", "conf.py": ""},
        f"views:2 imports {PACKAGE}.conf lazily",
    ),
    "a long module": ({"conf.py": "A = 1\n" * 401}, "conf has 401 lines"),
    "a long function": (
        {"conf.py": "def read():\n" + "    a = 1\n" * 40},
        "conf.read has 41 lines",
    ),
    "a small module with one importer": (
        {"views.py": f"from {PACKAGE} import conf\n", "conf.py": "A = 1\n"},
        "conf has 1 lines and one importer: views",
    ),
    "a module without a subject": ({"services/utils.py": ""}, "services.utils is a module without a subject"),
    "a crowded folder": (
        {f"services/m{number}.py": "" for number in range(MAX_MODULES_IN_FOLDER + 1)},
        f"services has {MAX_MODULES_IN_FOLDER + 1} modules",
    ),
    "a big package": (
        {f"services/m{number}.py": "a = 1\n" * 400 for number in range(50)},
        "the package has 20000 lines",
    ),
}


@pytest.mark.parametrize(("files", "violation"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_each_rule_finds_its_violation(tmp_path, files, violation):
    """Each violation is found in a small tree that has it."""
    modules = build(tmp_path, files)
    assert violation in [found for rule in RULES for found in rule(modules)]


def test_a_good_tree_violates_nothing(tmp_path):
    """Downward imports, apps.py's lazy ones and other packages' modules are allowed."""
    files = {
        "__init__.py": "",
        "apps.py": f"class App:\n    def ready(self):\n        from {PACKAGE} import checks\n",
        "checks.py": f"import django\nfrom {PACKAGE} import conf\n",
        "conf.py": f"from {PACKAGE}.client import http\n",
        "views.py": f"from {PACKAGE} import checks, conf\n",
        "client/http.py": "def get():\n    import requests\n" + "A = 1\n" * SMALL_MODULE_LINES,
        "migrations/0001_initial.py": f"import {PACKAGE}.views\n",
    }
    modules = build(tmp_path, files)
    assert [found for rule in RULES for found in rule(modules)] == []


def test_client_and_sandbox_run_without_django():
    """Importing both loads nothing of Django, not even indirectly."""
    code = (
        f"import sys, {PACKAGE}.client, {PACKAGE}.sandbox.server, {PACKAGE}.sandbox.adapter\n"
        f"print(sorted({DJANGO!r} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def build(folder, files):
    """Write a small tree, and read it as the package is read."""
    for name, text in files.items():
        path = folder / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read(folder)
