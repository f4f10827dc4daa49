"""Python blocks: executed as they stand, and what they define is put to its use."""

import ast
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from itertools import count
from types import ModuleType
from unittest import mock

from django.apps import AppConfig
from django.contrib import admin
from django.core import checks
from django.test import override_settings
from django.urls import URLPattern, URLResolver
from django.urls.resolvers import RegexPattern

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import DeliveryRequest
from kaspi_delivery_django.contrib.relay import conf as relay
from kaspi_delivery_django.models import StatusChange
from kaspi_delivery_django.orders import OrderAdapter
from tests.docs import pages, prepared
from tests.docs.conftest import ADAPTER, SIGNALS, adapter_block
from tests.docs.pages import ROOT

ELIDED = "…"
FOR_ELIDED = "something-of-at-least-thirty-two-characters"
NUMBERS = count()
SETTINGS = "from tests.settings import *\nKASPI_DELIVERY = {**KASPI_DELIVERY, 'ORDER_ADAPTERS': ['%s']}\n"


def run(block, context, tmp_path):
    """Run one block; raise, or fail an assertion, where it does not do what it is for."""
    if is_run_elsewhere(block):
        return
    if "def test_" in block.text:
        run_tests(block, tmp_path)
        return
    if place := prepared.ELSEWHERE.get(block.page):
        block = replace(block, text=block.text.replace(place["adapter"], ADAPTER))
    before = {name: list(signal.receivers) for name, signal in SIGNALS.items()}
    names = execute(block, context)
    for use in USES:
        use(names, context)
    send(before, context)


def is_run_elsewhere(block):
    """Whether the block is, word for word, what an environment of tox runs."""
    if block.page not in prepared.ELSEWHERE:
        return False
    place = prepared.ELSEWHERE[block.page]
    files = (path.read_text() for path in (ROOT / place["folder"]).rglob("*.py"))
    is_there = any(block.text in text.replace(place["there"], place["shown_as"]) for text in files)
    return is_there and f" -e {place['run_by']}\n" in (ROOT / ".ci" / "run").read_text()


def execute(block, context):
    """Execute the block under its line numbers, and return what it defines."""
    module = ModuleType("a_block")
    names = vars(module)
    names.update({name: context[name] for name in prepared.GIVEN.get(block.page, ())})
    if "    ...\n" in block.text:
        names.update({name: value for name, value in vars(sys.modules["shop.kaspi"]).items() if name[0] != "_"})
    known = set(names)
    source = "\n" * (block.line - 1) + block.text
    if before := prepared.BEFORE.get(block.page):
        exec(f"from datetime import UTC, datetime, timedelta\n{before}", names)  # a table of ours
    exec(compile(source, str(ROOT / block.page), "exec"), names)  # what is tested
    leave_out_elided_methods(block, names)
    return {name: value for name, value in names.items() if name not in known or value is not context.get(name)}


def leave_out_elided_methods(block, names):
    """Take methods away whose whole body is `...`: README.md has them."""
    for kind in (node for node in ast.parse(block.text).body if isinstance(node, ast.ClassDef)):
        for method in (node for node in kind.body if isinstance(node, ast.FunctionDef)):
            if [ast.unparse(line) for line in method.body] == ["..."]:
                delattr(names[kind.name], method.name)


def use_settings(names, context):
    """Apps and plugins can be imported, and KASPI_DELIVERY passes its checks."""
    for entry in written(names.get("INSTALLED_APPS", ())):
        AppConfig.create(entry)
    for entry in names.get("pytest_plugins", ()):
        import_module(entry)
    for entry in names.get("CELERY_BEAT_SCHEDULE", {}).values():
        import_module("kaspi_delivery_django.contrib.celery")
        assert entry["task"] in import_module("celery").current_app.tasks
    if "KASPI_DELIVERY" in names:
        ours = fill(names["KASPI_DELIVERY"])
        alias = next(iter(ours.get("ACCOUNTS", {})), conf.DEFAULT_ACCOUNT)
        patched = mock.patch.object(context["adapter"], "account", return_value=alias)
        with override_settings(DEBUG=True, KASPI_DELIVERY=ours), patched:
            errors = [m for m in checks.run_checks(tags=["kaspi_delivery"]) if m.level >= checks.ERROR]
            assert set(relay.endpoints()) == set(ours.get("RELAY", ()))
        assert errors == []


def written(entries):
    """Return the entries that are written out."""
    return [entry for entry in entries if entry is not ...]


def fill(value):
    """Put a value where the page elides one."""
    if isinstance(value, dict):
        return {key: fill(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [fill(one) for one in written(value)]
    return f"{FOR_ELIDED}-{next(NUMBERS)}" if value == ELIDED else value


def use_urls(names, context):
    """Addresses can be built, and pass Django's checks."""
    if "urlpatterns" not in names:
        return
    patterns = written(names["urlpatterns"])
    assert patterns, "no address"
    assert [pattern for pattern in patterns if not isinstance(pattern, URLPattern | URLResolver)] == []
    resolver = URLResolver(RegexPattern(r"^/"), patterns)
    assert resolver.check() == []


def use_adapters(names, context):
    """Call the adapter for an order; methods that a page elides are those of README.md."""
    whole = context["adapter"]
    for kind in classes(names, OrderAdapter):
        adapter = type(kind.__name__, (kind, whole) if not issubclass(whole, kind) else (kind,), {})()
        order = context["order"]
        assert adapter.model_class() is type(order)
        assert isinstance(adapter.wants_delivery(order), bool)
        assert isinstance(adapter.wants_cancel(order), bool)
        assert isinstance(adapter.build_request(order), DeliveryRequest)
        assert all(isinstance(word(order), str) for word in (adapter.external_order_id, adapter.account))
        assert list(adapter.orders_to_enqueue() or [order]) in ([order], [])


def use_apps(names, context):
    """An app's configuration gets ready."""
    for kind in classes(names, AppConfig):
        module = ModuleType(kind.name)
        module.__path__ = [str(ROOT)]
        kind(kind.name, module).ready()


def use_admin(names, context):
    """Pages of the admin pass Django's checks."""
    for page in admin.site._registry.values():
        assert page.check() == []
    assert len(admin.site._registry) >= len(classes(names, admin.ModelAdmin))


USES = (use_settings, use_urls, use_adapters, use_apps, use_admin)


def send(before, context):
    """Send each signal that the block listens to, to its own receivers alone."""
    delivery = context["delivery"]
    now = datetime(2026, 3, 1, tzinfo=UTC)
    change = StatusChange(pk=1, delivery=delivery, from_status="in_transit", to_status="out_for_delivery", at=now)
    call = delivery.calls.first()
    extra = {
        "delivery_created": {"delivery": delivery},
        "delivery_status_changed": {"delivery": delivery, "change": change},
        "delivery_needs_attention": {"delivery": delivery, "attention": "refused"},
        "call_attempted": {"call": call, "error": None, "seconds": 0.1},
        "webhook_answered": {"http_status": 200, "outcome": "applied"},
    }
    for name, signal in SIGNALS.items():
        signal.receivers = [one for one in signal.receivers if one not in before[name]]
        signal.sender_receivers_cache.clear()
        signal.send(type(delivery), **extra[name])


def classes(names, kind):
    """Return the classes of this kind that the block itself defines."""
    return [v for v in names.values() if isinstance(v, type) and issubclass(v, kind) and v.__module__ == "a_block"]


def run_tests(block, tmp_path):
    """Run the tests of a block with pytest, in the project that it names or one whose shop is README.md's."""
    files = {
        "shop/__init__.py": "",
        "shop/models.py": "from tests.shop.models import *\n",
        "shop/kaspi.py": adapter_block().text,
        "shop_settings.py": SETTINGS % ADAPTER,
        "conftest.py": "".join(b.text for b in pages.read(block.page).blocks if "pytest_plugins" in b.text),
        "test_block.py": block.text,
    }
    (tmp_path / "shop").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    if "cassettes" in block.text:
        shutil.copytree(ROOT / "example_project" / "shop" / "tests" / "cassettes", tmp_path / "cassettes")
    settings = "example_project.settings" if "example_project" in block.text else "shop_settings"
    ours = {"DJANGO_SETTINGS_MODULE": settings, "DATABASE": "sqlite"}
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    command += [f"--rootdir={tmp_path}", f"--ds={settings}", str(tmp_path / "test_block.py")]
    environment = {**os.environ, **ours, "PYTHONPATH": path}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{block}\n{ended.stdout}\n{ended.stderr}"
