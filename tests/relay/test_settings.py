"""KASPI_DELIVERY["RELAY"]: what it may be, its checks, and that a shop without it pays nothing."""

import json
import os
import subprocess
import sys
from importlib import util

import pytest
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django import checks, signals
from kaspi_delivery_django import conf as core_conf
from kaspi_delivery_django.contrib.relay import conf
from kaspi_delivery_django.models import Delivery
from tests.conftest import event
from tests.docs import pages
from tests.relay.conftest import APP, RECEIVED
from tests.relay.erp import OTHER_SECRET, SECRET
from tests.shop.models import Order
from tests.test_relay import ROOT

GOOD = {"URL": "https://erp.example/kaspi/?shop=1", "SECRETS": [SECRET]}


def relay_to(settings, relay, **core):
    """Set RELAY, and other keys."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **core, "RELAY": relay}


def endpoint(settings, **changes):
    """Return the endpoint of these settings, or raise what is wrong with it."""
    given = {**GOOD, **changes}
    relay_to(settings, {"erp": {key: value for key, value in given.items() if value is not None}})
    return conf.endpoints()["erp"]


def test_an_endpoint_gets_every_event_unless_it_says_otherwise(settings):
    """In the order of the settings its secrets."""
    assert endpoint(settings).events == conf.EVENTS
    chosen = endpoint(settings, EVENTS=["delivery.created"], SECRETS=(SECRET, OTHER_SECRET))
    assert (chosen.events, chosen.secrets) == (("delivery.created",), (SECRET, OTHER_SECRET))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"URL": None}, "['URL'] must be a whole address"),
        ({"URL": 7}, "['URL'] must be a whole address"),
        ({"URL": "erp.example"}, "['URL'] must be a whole address"),
        ({"URL": "https://[erp/"}, "['URL'] must be a whole address"),
        ({"URL": "https://erp.example:port/"}, "['URL'] must be a whole address"),
        ({"URL": "https://erp.example/a b"}, "['URL'] must be a whole address"),
        ({"URL": "http://erp.example/"}, "must begin with https://"),
        ({"URL": "ftp://erp.example/"}, "must begin with https://"),
        ({"URL": "https://shop:password@erp.example/"}, "no user, no password"),
        ({"URL": "https://erp.example/#top"}, "no fragment"),
        ({"SECRETS": None}, "['SECRETS'] must be a list of 1 to 5"),
        ({"SECRETS": SECRET}, "['SECRETS'] must be a list of 1 to 5"),
        ({"SECRETS": [SECRET] * 6}, "['SECRETS'] must be a list of 1 to 5"),
        ({"SECRETS": ["a-plain-secret-of-thirty-two-characters"]}, "must be whsec_"),
        ({"SECRETS": ["whsec_c2hvcnQ="]}, "must be whsec_"),
        ({"SECRETS": ["whsec_no base64 at all, however long it is"]}, "must be whsec_"),
        ({"EVENTS": []}, "['EVENTS'] must be a list of some of delivery.created"),
        ({"EVENTS": ["delivery.creatd"]}, "['EVENTS'] must be a list of some of delivery.created"),
        ({"SECRET": [SECRET]}, "Did you mean 'SECRETS'?"),
    ],
)
def test_an_error_says_what_to_change(settings, changes, said):
    """With the endpoint's alias, and without any secret."""
    with pytest.raises(ImproperlyConfigured) as caught:
        endpoint(settings, **changes)
    assert said in str(caught.value)
    assert "KASPI_DELIVERY['RELAY']['erp']" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize("wrong", [["https://erp.example/"], {"an erp": GOOD}, {"": GOOD}, {"erp": "https://erp/"}])
def test_the_setting_is_a_dict_of_endpoints(settings, wrong):
    """By their aliases."""
    relay_to(settings, wrong)
    with pytest.raises(ImproperlyConfigured, match=r"KASPI_DELIVERY\['RELAY'\]"):
        conf.endpoints()


def test_plain_http_is_for_debug(settings):
    """So that a developer needs no certificate."""
    settings.DEBUG = True
    assert endpoint(settings, URL="http://127.0.0.1:8080/").url == "http://127.0.0.1:8080/"


def test_secrets_are_not_shown(settings):
    """Nor the address, whose query may be one."""
    assert not [text for text in (SECRET, "erp.example") if text in repr(endpoint(settings))]


def test_one_endpoint_comes_from_the_environment(monkeypatch, tmp_path, settings):
    """Its secrets from a file, a line each, if there is one."""
    assert "RELAY" not in core_conf.from_env()
    (tmp_path / "secrets").write_text(f"{SECRET}\n{OTHER_SECRET}\n")
    monkeypatch.setenv("KASPI_DELIVERY_RELAY_URL", GOOD["URL"])
    monkeypatch.setenv("KASPI_DELIVERY_RELAY_SECRETS_FILE", str(tmp_path / "secrets"))
    monkeypatch.setenv("KASPI_DELIVERY_RELAY_EVENTS", "delivery.created,delivery.needs_attention")
    settings.KASPI_DELIVERY = core_conf.from_env()
    found = conf.endpoints()["default"]
    assert (found.url, found.secrets, len(found.events)) == (GOOD["URL"], (SECRET, OTHER_SECRET), 2)


@pytest.fixture
def found(settings):
    """Run the app's checks; return the messages by their ids."""

    def run(relay, **core):
        relay_to(settings, relay, **core)
        messages = django_checks.run_checks(tags=[checks.TAG], databases=[])
        ours = [one for one in messages if one.id.startswith("kaspi_delivery_relay.")]
        return {one.id.rpartition(".")[2]: one for one in ours}

    return run


def test_good_settings_raise_no_message(found):
    """A shop that has set everything right is left in peace."""
    assert found({"erp": GOOD}) == {}


def test_e001_settings_that_cannot_be_read(found):
    """With what to change."""
    messages = found({"erp": {**GOOD, "URL": "http://erp.example/"}})
    assert list(messages) == ["E001"]
    assert "must begin with https://" in messages["E001"].msg
    assert "docs/relay.md" in messages["E001"].hint


def test_e002_the_library_is_missing(found, monkeypatch):
    """Nothing could be signed."""
    monkeypatch.setattr("kaspi_delivery_django.contrib.relay.checks.find_spec", lambda _name: None)
    messages = found({"erp": GOOD})
    assert list(messages) == ["E002"]
    assert "kaspi-delivery-django[relay]" in messages["E002"].hint


def test_e003_another_database(found, settings):
    """A row there could not name its delivery."""

    class Router:
        def db_for_write(self, model, **_hints):
            return "elsewhere" if model._meta.app_label == "kaspi_delivery_relay" else None

    settings.DATABASE_ROUTERS = [Router()]
    assert list(found({"erp": GOOD})) == ["E003"]


def test_settings_that_cannot_be_read_at_all_are_another_checks(found):
    """It is reported once."""
    assert found({"erp": GOOD}, APIKEY="key") == {}


def test_w001_no_endpoint(found):
    """The app is installed for nothing."""
    assert list(found({})) == ["W001"]


def test_w002_no_worker(found):
    """With the runner `inline` it is easily forgotten."""
    messages = found({"erp": GOOD}, RUNNER="inline")
    assert list(messages) == ["W002"]
    assert "kaspi_worker" in messages["W002"].hint


def test_every_check_and_every_key_is_documented():
    """In the tables of docs/relay.md."""
    source = (ROOT / "kaspi_delivery_django" / "contrib" / "relay" / "checks.py").read_text()
    first = {cells[0].strip("`") for cells in pages.read("docs/relay.md").rows}
    used = {word.rstrip(')"') for word in source.split('"') if word.startswith("kaspi_delivery_relay.")}
    assert {name for name in first if name.startswith("kaspi_delivery_relay.")} == used
    assert {name for name in first if name.isupper()} == set(conf.KEYS)
    assert set(conf.EVENTS) <= first


@pytest.mark.django_db(transaction=True)
def test_the_migrations_are_complete():
    """The other settings do not have the app."""
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_without_an_endpoint_a_save_and_a_webhook_cost_nothing(drain, post_webhook):
    """No receiver is connected, and no query is about our table."""
    assert not conf.is_set()
    connected = [entry[1]() for name in RECEIVED for entry in getattr(signals, name).receivers]
    assert not [receiver for receiver in connected if receiver and receiver.__module__.startswith(APP)]
    with CaptureQueriesContext(connection) as queries:
        Order.objects.create()
        drain()
        assert post_webhook(event(Delivery.objects.get(), "accepted")).status_code == 200
        drain()
    assert not [query for query in queries.captured_queries if "kaspi_delivery_relay" in query["sql"]]


STARTED = f"""
import json, sys
from importlib import import_module
from django.conf import settings
import django

apps = ["django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "kaspi_delivery_django"]
relay = json.loads(sys.argv[2])
settings.configure(INSTALLED_APPS=[*apps, *sys.argv[3:]], SECRET_KEY="x",
    KASPI_DELIVERY={{"API_KEY": "k", "RELAY": relay}})
django.setup()
if sys.argv[1] == "used":
    for name in ("views", "serializers"):
        import_module(f"rest_framework.{{name}}")
    import_module("kaspi_delivery_django.services.outbox.worker")
ours = [name for name in sys.modules if name.startswith("{APP}")]
print(json.dumps([*ours, *({{"requests", "standardwebhooks"}} & set(sys.modules))]))
"""


def imported(relay, *apps, used="started"):
    """Start a shop, and return what it has imported of the relay and of what that needs."""
    command = [sys.executable, "-c", STARTED, used, json.dumps(relay), *apps]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout))


def test_a_shop_without_the_app_imports_nothing_of_it():
    """Neither when it starts, nor in its worker."""
    assert not {name for name in imported({}, used="used") if name != "requests"}


@pytest.mark.parametrize("relay", [{}, {"erp": GOOD}], ids=["off", "on"])
def test_a_process_that_sends_nothing_imports_no_library(relay):
    """A web process signs nothing."""
    assert util.find_spec("standardwebhooks")
    assert not imported(relay, APP) & {"requests", "standardwebhooks", f"{APP}.sending"}
