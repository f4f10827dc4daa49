"""The house rules, read from the source itself: layers, circles, lazy imports, sizes and names."""

import ast
import subprocess
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "kaspi_delivery_django"
LAYERS = {
    "apps": 6,
    "urls": 6,
    "testing": 6,
    "views": 5,
    "receivers": 5,
    "cookies": 5,
    "admin": 5,
    "management": 5,
    "contrib": 5,
    "services": 4,
    "checks": 4,
    "doctor": 4,
    "serializers": 4,
    "tracking": 4,
    "figures": 4,
    "orders": 3,
    "links": 3,
    "conf": 2,
    "models": 2,
    "wording": 2,
    "templatetags": 5,
    "client": 1,
    "sandbox": 1,
    "lifecycle": 1,
    "environment": 1,
    "signals": 1,
    "exceptions": 1,
}
PLAIN_ROOMS = {"client", "sandbox"}
SANDBOX_USERS = {"sandbox", "testing", "management.commands.kaspi_sandbox"}
DJANGO = {"django", "rest_framework", "environ"}
NAMELESS = {"utils", "helpers", "base", "common"}
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_PACKAGE_LINES = 13_000
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True, kw_only=True)
class Module:
    """One source file: its dotted name inside the package, its text, and its syntax tree."""

    name: str
    is_package: bool
    text: str
    tree: ast.Module

    @property
    def room(self):
        """The first part of the name, which has a place in the table."""
        return self.name.split(".")[0]


def read(root):
    """Return the modules of the package under this folder by their names; no migrations."""
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
    """Return an absolute name's part inside the package, None for anybody else's."""
    if name == PACKAGE:
        return ""
    return name.removeprefix(f"{PACKAGE}.") if name.startswith(f"{PACKAGE}.") else None


def edges(module, modules):
    """Return which of our own modules this one imports."""
    named = (own(name) for _node, name in imports(module, modules))
    return {name for name in named if name}


def layer_sins(modules):
    """Find rooms without a layer, and imports that point up."""
    for module in modules.values():
        if module.name and module.room not in LAYERS:
            yield f"{module.name} has no layer"
            continue
        for target in edges(module, modules):
            above = LAYERS.get(target.split(".")[0], 0) > LAYERS.get(module.room, 0)
            if above:
                yield f"{module.name or PACKAGE} imports {target}, which is above it"


def plain_sins(modules):
    """Find what client/ and sandbox/ must not know: Django, and the rest of the house."""
    for module in modules.values():
        if module.room not in PLAIN_ROOMS:
            continue
        for _node, name in imports(module, modules):
            if name.split(".")[0] in DJANGO:
                yield f"{module.name} imports {name}, and must know no Django"
            if own(name) is not None and own(name).split(".")[0] != module.room:
                yield f"{module.name} imports {name}, outside its room"


def sandbox_sins(modules):
    """Find imports of the sandbox outside of its command and the testing kit."""
    for module in modules.values():
        if module.room in SANDBOX_USERS or module.name in SANDBOX_USERS:
            continue
        for target in edges(module, modules):
            if target.split(".")[0] == "sandbox":
                yield f"{module.name} imports {target}, which only tests may use"


def circle_sins(modules):
    """Find modules that can be reached from themselves."""
    graph = {name: edges(module, modules) for name, module in modules.items()}
    for start, targets in graph.items():
        seen, waiting = set(), list(targets)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(graph.get(name, ()))
        if start in seen:
            yield f"{start} is on a circle of imports"


def lazy_sins(modules):
    """Find imports of our own modules inside a function, outside apps.py."""
    for module in modules.values():
        inside = {
            id(node)
            for function in functions(module)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        for node, name in imports(module, modules):
            if id(node) in inside and own(name) is not None and module.name != "apps":
                yield f"{module.name}:{node.lineno} imports {name} lazily"


def size_sins(modules):
    """Find what has grown too long, and rooms whose names say nothing."""
    for module in modules.values():
        lines = len(module.text.splitlines())
        if lines > MAX_MODULE_LINES:
            yield f"{module.name} has {lines} lines"
        if NAMELESS & set(module.name.split(".")):
            yield f"{module.name} is a room without a subject"
        for function in functions(module):
            length = function.end_lineno - function.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{module.name}.{function.name} has {length} lines"
    total = sum(code_lines(module) for module in modules.values())
    if total >= MAX_PACKAGE_LINES:
        yield f"the package has {total} lines of code"


def functions(module):
    """Return every function of a module, methods and inner ones too."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(module.tree) if isinstance(node, kinds)]


def code_lines(module):
    """Count the lines that are neither blank, nor comment, nor docstring."""
    lines = iter(module.text.splitlines(keepends=True))
    tokens = tokenize.generate_tokens(lambda: next(lines, ""))
    code = {
        number for token in tokens if token.type not in NOT_CODE for number in range(token.start[0], token.end[0] + 1)
    }
    return len(code - docstring_lines(module))


def docstring_lines(module):
    """Return the numbers of the lines that are docstrings."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    texts = [
        node.body[0]
        for node in ast.walk(module.tree)
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None
    ]
    return {number for text in texts for number in range(text.lineno, text.end_lineno + 1)}


RULES = (layer_sins, plain_sins, sandbox_sins, circle_sins, lazy_sins, size_sins)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    """Nothing in the package breaks one of the house rules."""
    assert list(rule(read(ROOT))) == []


SINS = {
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
    "a room without a layer": ({"cellar.py": ""}, "cellar has no layer"),
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
    "Django in the client": (
        {"client/http.py": "from django.conf import settings\n"},
        "client.http imports django.conf, and must know no Django",
    ),
    "Django in the sandbox, in a function": (
        {"sandbox/api.py": "def make():\n    import rest_framework.views\n"},
        "sandbox.api imports rest_framework.views, and must know no Django",
    ),
    "the package in the sandbox": (
        {"sandbox/api.py": f"from {PACKAGE}.client import sign\n", "client/__init__.py": ""},
        f"sandbox.api imports {PACKAGE}.client, outside its room",
    ),
    "the sandbox in the settings": (
        {"conf.py": f"from {PACKAGE}.sandbox import defaults\n", "sandbox/defaults.py": ""},
        "conf imports sandbox.defaults, which only tests may use",
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
    "a nameless room": ({"services/utils.py": ""}, "services.utils is a room without a subject"),
    "a big house": (
        {f"services/room_{number}.py": "a = 1\n" * 400 for number in range(33)},
        "the package has 13200 lines of code",
    ),
}


@pytest.mark.parametrize(("files", "sin"), SINS.values(), ids=SINS.keys())
def test_the_rules_have_teeth(tmp_path, files, sin):
    """Each sin is found in a small tree that commits it."""
    modules = build(tmp_path, files)
    assert sin in [found for rule in RULES for found in rule(modules)]


def test_a_good_house_is_left_in_peace(tmp_path):
    """Downward imports, apps.py's lazy ones and other people's modules are no sins."""
    files = {
        "__init__.py": "",
        "apps.py": f"class App:\n    def ready(self):\n        from {PACKAGE} import checks\n",
        "checks.py": f"import django\nfrom {PACKAGE} import conf\n",
        "conf.py": f"from {PACKAGE}.client import http\n",
        "client/http.py": "def get():\n    import requests\n",
        "migrations/0001_initial.py": f"import {PACKAGE}.views\n",
    }
    modules = build(tmp_path, files)
    assert [found for rule in RULES for found in rule(modules)] == []


def test_only_code_is_counted(tmp_path):
    """Blank lines, comments and docstrings are free; every line of a long text is not."""
    head = '"""Doc.\n\nMore.\n"""\n\n# why\nA = """one\ntwo"""\n\n'
    text = head + 'def f():\n    """Doc."""\n    return 1\n'
    [module] = build(tmp_path, {"conf.py": text}).values()
    assert code_lines(module) == 4


def test_client_and_sandbox_run_without_django():
    """Importing both loads nothing of Django, not even by a detour."""
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
