"""KASPI_DELIVERY["RELAY"]: what it may be, and its checks."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from kaspi_delivery_django import conf as core_conf
from kaspi_delivery_django.contrib.relay import checks, conf
from tests.checks.test_databases import writes
from tests.docs import pages
from tests.relay.erp import OTHER_SECRET, SECRET

GOOD = {"URL": "https://erp.example/kaspi/?shop=1", "SECRETS": [SECRET]}


@pytest.fixture
def relay_to(configure):
    """Return a function that sets RELAY, and other keys."""
    return lambda relay, **core: configure(RELAY=relay, **core)


@pytest.fixture
def endpoint(relay_to):
    """Return a function that returns the endpoint of these settings, or raises what is wrong with it."""

    def run(**changes):
        given = {**GOOD, **changes}
        relay_to({"erp": {key: value for key, value in given.items() if value is not None}})
        return conf.endpoints()["erp"]

    return run


def test_an_endpoint_gets_every_event_unless_it_says_otherwise(endpoint, settings):
    """In the order of the settings its secrets, which are not shown; plain HTTP is for DEBUG."""
    assert endpoint().events == conf.EVENTS
    chosen = endpoint(EVENTS=["delivery.created"], SECRETS=(SECRET, OTHER_SECRET))
    assert (chosen.events, chosen.secrets) == (("delivery.created",), (SECRET, OTHER_SECRET))
    assert not [text for text in (SECRET, "erp.example") if text in repr(chosen)]
    settings.DEBUG = True
    assert endpoint(URL="http://127.0.0.1:8080/").url == "http://127.0.0.1:8080/"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"URL": None}, "['URL'] must be a whole address"),
        ({"URL": 7}, "['URL'] must be a whole address"),
        ({"URL": "erp.example"}, "['URL'] must be a whole address"),
        ({"URL": "https://[erp/"}, "['URL'] must be a whole address"),
        ({"URL": "https://erp.example:port/"}, "['URL'] must be a whole address"),
        ({"URL": "https://erp.example/a b"}, "['URL'] must be a whole address"),
        ({"URL": "http://erp.example/"}, "must begin with https://"),
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
def test_an_error_says_what_to_change(endpoint, changes, words):
    """With the endpoint's alias, and without any secret."""
    with pytest.raises(ImproperlyConfigured) as caught:
        endpoint(**changes)
    message = str(caught.value)
    assert (words in message, "KASPI_DELIVERY['RELAY']['erp']" in message) == (True, True)
    assert not [secret for secret in (SECRET, "password@") if secret in message]


@pytest.mark.parametrize("wrong", [["https://erp.example/"], {"an erp": GOOD}, {"": GOOD}, {"erp": "https://erp/"}])
def test_the_setting_is_a_dict_of_endpoints(relay_to, wrong):
    """By their aliases."""
    relay_to(wrong)
    with pytest.raises(ImproperlyConfigured, match=r"KASPI_DELIVERY\['RELAY'\]"):
        conf.endpoints()


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
def found(relay_to):
    """Run the app's check; return the ids of its messages, with their texts and hints."""

    def run(relay, **core):
        relay_to(relay, **core)
        return {one.id.rpartition(".")[2]: f"{one.msg} {one.hint}" for one in checks.check_relay()}

    return run


def test_the_check_leaves_good_settings_alone(found):
    """And those that cannot be read at all are another check's."""
    assert found({"erp": GOOD}) == {}
    assert found({"erp": GOOD}, APIKEY="key") == {}


@pytest.mark.parametrize(
    ("name", "words", "relay", "core"),
    [
        ("E001", "must begin with https://", {"erp": {**GOOD, "URL": "http://erp.example/"}}, {}),
        ("W001", "no webhook is relayed", {}, {}),
        ("W002", "kaspi_worker", {"erp": GOOD}, {"RUNNER": "inline"}),
    ],
)
def test_e001_w001_w002_settings_that_do_not_work(found, name, words, relay, core):
    """Wrong ones, no endpoint, and a runner that has no worker."""
    [(id_, text)] = found(relay, **core).items()
    assert (id_, words in text) == (name, True)


def test_e002_the_library_is_missing(found, monkeypatch):
    """Nothing could be signed."""
    monkeypatch.setattr(checks, "find_spec", lambda _name: None)
    [(id_, text)] = found({"erp": GOOD}).items()
    assert (id_, "kaspi-delivery-django[relay]" in text) == ("E002", True)


def test_e003_another_database(found, settings):
    """A row there could not name its delivery."""
    settings.DATABASE_ROUTERS = [writes("kaspi_delivery_relay")]
    assert list(found({"erp": GOOD})) == ["E003"]


def test_every_check_and_every_key_is_documented():
    """In the tables of docs/relay.md."""
    source = Path(checks.__file__).read_text()
    first = {cells[0].strip("`") for cells in pages.read("docs/relay.md").rows}
    used = {word.rstrip(')"') for word in source.split('"') if word.startswith("kaspi_delivery_relay.")}
    assert {name for name in first if name.startswith("kaspi_delivery_relay.")} == used
    assert {name for name in first if name.isupper()} == set(conf.KEYS)
    assert set(conf.EVENTS) <= first
