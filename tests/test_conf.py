"""KASPI_DELIVERY: from the environment or a plain dict, read live, strict, and discreet."""

import os
import sys
import traceback
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from kaspi_delivery_django import conf
from kaspi_delivery_django.sandbox import defaults

SECRET = "a-webhook-secret-of-thirty-two-chars-or-more"
OTHER_SECRET = "another-webhook-secret-of-thirty-two-chars"


@pytest.fixture
def environment(monkeypatch):
    """Hand over an environment without our variables, to be filled by the test."""
    for name in [name for name in os.environ if name.startswith("KASPI_DELIVERY_")]:
        monkeypatch.delenv(name)

    def fill(**values):
        for key, value in values.items():
            monkeypatch.setenv(f"KASPI_DELIVERY_{key}", value)

    return fill


@pytest.fixture
def file(tmp_path):
    """Write a file as a container's secret; return its path."""

    def write(content, name="secret"):
        (tmp_path / name).write_text(content, newline="")
        return str(tmp_path / name)

    return write


def parse(*, debug=False, **raw):
    """Parse a KASPI_DELIVERY dict."""
    return conf.parse(raw, debug=debug)


def the_account(**raw):
    """Parse a dict that has flat keys only, and return its one account."""
    return parse(**raw).accounts["default"]


VARIABLES = {
    "API_KEY": "$key",
    "WEBHOOK_SECRETS": f" {SECRET}, {OTHER_SECRET} ,",
    "ENVIRONMENT": "production",
    "BASE_URL": "https://kaspi.example/delivery",
    "RUNNER": "worker",
    "MAX_REQUESTS_PER_SECOND": "2.5",
}
READ_FROM_THEM = {**VARIABLES, "WEBHOOK_SECRETS": [SECRET, OTHER_SECRET], "MAX_REQUESTS_PER_SECOND": 2.5}


def test_from_env_reads_each_variable(environment):
    """Under its key, typed; a dollar is a letter. What is not set is left to the defaults."""
    assert conf.from_env() == {}
    environment(**VARIABLES)
    assert conf.from_env() == READ_FROM_THEM


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_from_env_reads_each_variable_from_a_file(environment, file, ending):
    """A container's secret is a file, and an editor ends it with a new line."""
    texts = {**VARIABLES, "WEBHOOK_SECRETS": f"{SECRET}{ending or ','}{OTHER_SECRET}"}
    environment(**{f"{key}_FILE": file(f"{text}{ending}", key) for key, text in texts.items()})
    assert conf.from_env() == READ_FROM_THEM


def test_from_env_reads_each_account(environment, file):
    """The aliases are listed, and each has variables or files of its own; one without any is an account too."""
    environment(
        ACCOUNTS_FILE=file("almaty, nur-sultan\nastana,\n", "list"),
        ENVIRONMENT="production",
        ALMATY_API_KEY="key",
        ALMATY_WEBHOOK_SECRETS=f"{SECRET},{OTHER_SECRET}",
        NUR_SULTAN_ENVIRONMENT="sandbox",
        NUR_SULTAN_API_KEY_FILE=file("key\n"),
    )
    assert conf.from_env() == {
        "ENVIRONMENT": "production",
        "ACCOUNTS": {
            "almaty": {"API_KEY": "key", "WEBHOOK_SECRETS": [SECRET, OTHER_SECRET]},
            "nur-sultan": {"ENVIRONMENT": "sandbox", "API_KEY": "key"},
            "astana": {},
        },
    }


@pytest.mark.parametrize(
    ("variables", "keys"),
    [
        ({"ACCOUNTS": "", "API_KEY": "first"}, {"default": "first"}),
        (
            {"ACCOUNTS": "astana", "API_KEY": "first", "ASTANA_API_KEY": "second"},
            {"astana": "second", "default": "first"},
        ),
        ({"ACCOUNTS": "astana", "WEBHOOK_SECRETS": SECRET}, {"astana": "", "default": ""}),
        ({"ACCOUNTS": "astana", "API_KEY": "", "WEBHOOK_SECRETS": ""}, {"astana": ""}),
    ],
)
def test_flat_variables_are_the_default_account(environment, variables, keys):
    """Alone or beside listed accounts, a key or secrets; one that is set to nothing makes none."""
    environment(**variables)
    assert {alias: account.api_key for alias, account in parse(**conf.from_env()).accounts.items()} == keys


def test_keywords_win_over_the_environment(environment):
    """A keyword is taken instead of its variable, and beside the other variables; an unknown one is an error."""
    environment(API_KEY="from-env", RUNNER="worker", ACCOUNTS="almaty", ALMATY_API_KEY="key")
    own = {"API_KEY": "from-keyword", "ORDER_ADAPTERS": ["shop.kaspi.Adapter"], "ACCOUNTS": {"astana": {}}}
    assert conf.from_env(**own) == {**own, "RUNNER": "worker"}
    with pytest.raises(ImproperlyConfigured, match=r"no key 'APIKEY'\. Did you mean 'API_KEY'"):
        conf.from_env(APIKEY="key")


@pytest.mark.parametrize(("text", "rate"), [("1e3", 1000), ("0.5", 0.5), (" 7 ", 7)])
def test_from_env_reads_a_rate_as_python_does(environment, text, rate):
    """An exponent is an exponent."""
    environment(MAX_REQUESTS_PER_SECOND=text)
    assert parse(**conf.from_env()).max_requests_per_second == rate


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        *(({"MAX_REQUESTS_PER_SECOND": text}, "PER_SECOND must be a number") for text in ("", "ten", "10abc", "1,5")),
        *(
            ({"ACCOUNTS": aliases}, "KASPI_DELIVERY_ACCOUNTS names .* choose another alias")
            for aliases in ("nur-sultan,nur_sultan", "almaty,Almaty", "default")
        ),
        *(({"ALMATY_API_KEY_FILE": f"/{name}"}, "_ALMATY_API_KEY_FILE names '/") for name in ("absent", "tmp")),
        ({"ALMATY_API_KEY_FILE": "/dev/zero"}, "_ALMATY_API_KEY_FILE names a file larger than 64 KiB"),
    ],
)
def test_from_env_names_the_variable_that_is_wrong(environment, variables, says):
    """A number, aliases that would share their variables, a file that is missing or has no end, or a folder."""
    environment(**{"ACCOUNTS": "almaty", **variables})
    with pytest.raises(ImproperlyConfigured, match=says):
        conf.from_env()


def test_the_file_wins_over_the_variable(environment, file, tmp_path, monkeypatch):
    """It is read each time, its path need not be a whole one, and an empty path counts for nothing."""
    environment(API_KEY="from-variable", API_KEY_FILE="", WEBHOOK_SECRETS_FILE="")
    assert conf.from_env() == {"API_KEY": "from-variable"}
    for text in ("from-file", "rotated"):
        environment(API_KEY_FILE=file(text))
        assert conf.from_env() == {"API_KEY": text}
    monkeypatch.chdir(tmp_path)
    environment(API_KEY_FILE="secret")
    assert conf.from_env() == {"API_KEY": "rotated"}


def test_a_plain_dict_works_as_well():
    """The defaults are those that the documentation names; nothing at all is an account without credentials."""
    settings = parse()
    assert settings == conf.Settings(accounts=settings.accounts)
    assert settings.accounts == {
        "default": conf.Account(alias="default", environment="sandbox", base_url=conf.SANDBOX_URL)
    }
    assert (settings.runner, settings.max_requests_per_second) == ("inline", 10)
    assert settings.max_dispatch_age == timedelta(hours=24)
    assert (settings.tracking_hosts, settings.final_statuses) == (("track.kaspi.kz",), ())
    assert the_account(ENVIRONMENT="production").base_url == conf.PRODUCTION_URL
    assert parse(MAX_REQUESTS_PER_SECOND=None).max_requests_per_second is None
    account = the_account(API_KEY=" key\n", WEBHOOK_SECRETS=[f" {SECRET}\n"])  # as pasted
    assert (account.api_key, account.webhook_secrets) == ("key", (SECRET,))


def test_local_needs_no_key_with_debug_and_is_refused_without():
    """A developer starts with the bundled sandbox's well-known key and secret; own ones win.

    Published credentials open nothing on a server, not even when they are written out.
    """
    account = parse(debug=True, ENVIRONMENT="local").accounts["default"]
    assert account.base_url == defaults.BASE_URL
    assert (account.api_key, account.webhook_secrets) == (defaults.API_KEY, (defaults.WEBHOOK_SECRET,))
    own = {"API_KEY": "own", "WEBHOOK_SECRETS": [SECRET], "BASE_URL": "http://localhost:9000/"}
    account = parse(debug=True, ENVIRONMENT="local", **own).accounts["default"]
    assert (account.api_key, account.webhook_secrets, account.base_url) == ("own", (SECRET,), "http://localhost:9000")
    account = the_account(ENVIRONMENT="local", API_KEY=defaults.API_KEY, WEBHOOK_SECRETS=[defaults.WEBHOOK_SECRET])
    assert (account.api_key, account.webhook_secrets) == ("", ())


def test_a_change_of_the_settings_takes_effect_at_once():
    """Another dict, a change in place as deep as it goes, DEBUG, or no setting; the same dict is parsed once."""
    accounts = {"almaty": {"API_KEY": "one"}}
    with override_settings(KASPI_DELIVERY={"ACCOUNTS": accounts}):
        assert conf.account("almaty").api_key == "one"
        accounts["almaty"]["API_KEY"] = "two"
        assert conf.account("almaty").api_key == "two"
        assert conf.account("nowhere") is None
    with override_settings(KASPI_DELIVERY={"ENVIRONMENT": "local"}, DEBUG=True):
        assert conf.account("default").api_key
        with override_settings(DEBUG=False):
            assert not conf.account("default").api_key
    with override_settings():
        del django_settings.KASPI_DELIVERY
        assert conf.account("default").api_key == ""
    assert conf.account("default").api_key == django_settings.KASPI_DELIVERY["API_KEY"]
    assert conf.current() is conf.current()


def test_several_accounts_share_environment_and_address():
    """The flat ENVIRONMENT and BASE_URL are their defaults, of one in another environment neither; keys are not."""
    accounts = {
        "almaty": {"API_KEY": "a"},
        "astana": {"ENVIRONMENT": "production"},
        "aktau": {"ENVIRONMENT": "sandbox"},
    }
    found = parse(ENVIRONMENT="production", BASE_URL="https://kaspi.example", ACCOUNTS=accounts).accounts
    assert {alias: (one.api_key, one.environment, one.base_url) for alias, one in found.items()} == {
        "almaty": ("a", "production", "https://kaspi.example"),
        "astana": ("", "production", "https://kaspi.example"),
        "aktau": ("", "sandbox", conf.SANDBOX_URL),
    }
    found = parse(BASE_URL="https://kaspi.example", ACCOUNTS={"aktau": {"ENVIRONMENT": "sandbox"}}).accounts
    assert found["aktau"].base_url == "https://kaspi.example"  # the default environment is the same one


RATE = "KASPI_DELIVERY['MAX_REQUESTS_PER_SECOND'] must be a number from 0.001 to 10000, or None"
WRONG = [
    *((raw, "KASPI_DELIVERY must be a dict, or conf.from_env(...).") for raw in (None, [], "key")),
    ({"APIKEY": ""}, "KASPI_DELIVERY has no key 'APIKEY'. Did you mean 'API_KEY'?"),
    ({"webhook_secret": ""}, "has no key 'webhook_secret'. Known: API_KEY, "),
    ({"WEBHOOK_SECRET": ""}, "Did you mean 'WEBHOOK_SECRETS'?"),
    ({"ORDER_ADAPTER": ""}, "Did you mean 'ORDER_ADAPTERS'?"),
    ({5: ""}, "KASPI_DELIVERY has no key 5. Known: "),
    (
        {"ACCOUNTS": {"almaty": {"API_KEYS": ""}}},
        "In the account 'almaty': KASPI_DELIVERY['ACCOUNTS']['almaty'] has no key 'API_KEYS'. Did you mean 'API_KEY'?",
    ),
    ({"ACCOUNTS": {"almaty": {"RUNNER": ""}}}, "['almaty'] has no key 'RUNNER'."),
    ({"ACCOUNTS": {"almaty": {}, "astana": {"API_KEY": 5}}}, "In the account 'astana': KASPI_DELIVERY['API_KEY'] must"),
    ({"API_KEY": "key", "ACCOUNTS": {"default": {"API_KEY": "other"}}}, "has 'default' twice"),
    ({"API_KEY": 5}, "KASPI_DELIVERY['API_KEY'] must be a text"),
    *(({"API_KEY": key}, "must be at most 255 printable ASCII") for key in ("ключ", "two\nlines", "x" * 256)),
    *(({"WEBHOOK_SECRETS": value}, "must be a list of texts") for value in (SECRET, [SECRET, None])),
    *(({"ENVIRONMENT": value}, "must be one of production, sandbox, local.") for value in ("prod", ["production"])),
    ({"BASE_URL": 5}, "KASPI_DELIVERY['BASE_URL'] must be a text"),
    ({"BASE_URL": "kaspi.example"}, "the base URL"),
    ({"BASE_URL": "http://kaspi.example"}, "must start with https://"),
    ({"BASE_URL": "https://kaspi.example/?a=b"}, "must be a plain address"),
    ({"BASE_URL": "https://[kaspi"}, "KASPI_DELIVERY['BASE_URL']"),
    ({"ENVIRONMENT": "production", "BASE_URL": "http://localhost:8900"}, "must be https:// in production"),
    ({"ACCOUNTS": ["almaty"]}, "KASPI_DELIVERY['ACCOUNTS'] must be a dict of alias to account"),
    ({"ACCOUNTS": {"almaty": "key"}}, "KASPI_DELIVERY['ACCOUNTS']['almaty'] must be a dict"),
    ({"ACCOUNTS": {"алматы": {}}}, "has the alias 'алматы'"),
    ({"ACCOUNTS": {"a" * 41: {}}}, "1 to 40 ASCII letters"),
    ({"ACCOUNTS": {5: {}}}, "has the alias 5"),
    *(({"ORDER_ADAPTERS": value}, "must be a list of texts") for value in ("shop.kaspi.Adapter", [object])),
    *(({"RUNNER": value}, "KASPI_DELIVERY['RUNNER'] must be one of ") for value in ("thread", ["inline"])),
    *(
        ({"MAX_REQUESTS_PER_SECOND": value}, RATE)
        for value in (0, True, "10", 1e-300, 10_001, float("inf"), float("nan"))
    ),
    *(({"MAX_DISPATCH_AGE": value}, "must be a timedelta above 0") for value in (86400, timedelta(0))),
    ({"REFRESH_AFTER": "30 minutes"}, "KASPI_DELIVERY['REFRESH_AFTER'] must be a timedelta above 0"),
    ({"CANCEL_CHECK_INTERVAL": timedelta(-1)}, "must be a timedelta, or 0 to switch it off"),
    ({"TRACKING_HOSTS": "track.kaspi.kz"}, "KASPI_DELIVERY['TRACKING_HOSTS'] must be a list of texts"),
    ({"FINAL_STATUSES": "returned"}, "KASPI_DELIVERY['FINAL_STATUSES'] must be a list of texts"),
    ({"RELAY": []}, "KASPI_DELIVERY['RELAY'] must be a dict."),
]


@pytest.mark.parametrize(("raw", "said"), WRONG)
def test_a_wrong_setting_is_refused(raw, said):
    """The error names the setting, its key, and what it must be, or the nearest right key."""
    with pytest.raises(ImproperlyConfigured) as caught:
        conf.parse(raw, debug=False)
    assert said in str(caught.value)


SECRETS = [
    ([SECRET], 1, 0, 0),
    (["x" * 8], 1, 0, 1),
    (["x" * 31, SECRET], 2, 0, 1),
    (["x" * 32], 1, 0, 0),
    (["x" * 7], 0, 1, 0),
    (["   x   "], 0, 1, 0),
    ([SECRET, "short"], 1, 1, 0),
    ([" " * 40], 0, 1, 0),
    ([f"{number}{SECRET}" for number in range(5)], 5, 0, 0),
    ([f"{number}{SECRET}" for number in range(6)], 5, 1, 0),
    ([defaults.WEBHOOK_SECRET], 0, 1, 0),  # it is published with the sandbox
    (["\udcff" * 40, SECRET], 1, 1, 0),  # bytes that are no text, as the environment hands them over
]


@pytest.mark.parametrize(("secrets", "trusted", "ignored", "short"), SECRETS)
def test_only_one_to_five_secrets_are_trusted(secrets, trusted, ignored, short):
    """One under eight characters, or a sixth, verifies nothing; checks count them, and those that are weak."""
    account = the_account(WEBHOOK_SECRETS=secrets)
    assert (len(account.webhook_secrets), account.ignored_secrets, account.short_secrets) == (trusted, ignored, short)


@pytest.mark.parametrize(
    ("status", "final"),
    [("delivered", True), ("cancelled", True), ("returned", True), ("lost", False), ("in_transit", False), ("", False)],
)
def test_final_statuses_are_kaspis_and_those_that_the_settings_name(status, final):
    """A status whose place is documented stays what it is."""
    with override_settings(KASPI_DELIVERY={"FINAL_STATUSES": ["returned", "in_transit", ""]}):
        assert conf.is_final(status) is final


HIDDEN_KEY, HIDDEN_SECRET = "the-key-to-hide", "the-secret-to-hide-of-thirty-two-chars"
CREDENTIALS = {"API_KEY": HIDDEN_KEY, "WEBHOOK_SECRETS": [HIDDEN_SECRET]}


def test_a_repr_shows_no_credential():
    """Settings and accounts can be printed."""
    shown = repr(parse(**CREDENTIALS))
    assert HIDDEN_KEY not in shown
    assert HIDDEN_SECRET not in shown


def test_djangos_error_page_masks_the_credentials():
    """The names of our settings are among those that Django hides, at every depth."""
    account = {"API_KEY": "nested-api-key", "WEBHOOK_SECRETS": [OTHER_SECRET]}
    with override_settings(KASPI_DELIVERY={**CREDENTIALS, "ACCOUNTS": {"almaty": account}}):
        shown = repr(SafeExceptionReporterFilter().get_safe_settings()["KASPI_DELIVERY"])
    assert "almaty" in shown
    for credential in ("nested-api-key", OTHER_SECRET, HIDDEN_KEY, HIDDEN_SECRET):
        assert credential not in shown


BROKEN = {
    "a typing error": {**CREDENTIALS, "RUNER": "worker"},
    "an environment": {**CREDENTIALS, "ENVIRONMENT": "prod"},
    "an unreadable address": {**CREDENTIALS, "BASE_URL": "https://[kaspi"},
    "a key": {**CREDENTIALS, "API_KEY": f"{HIDDEN_KEY}\n{HIDDEN_KEY}"},
    "a secret": {**CREDENTIALS, "WEBHOOK_SECRETS": HIDDEN_SECRET},
    "secrets": {**CREDENTIALS, "WEBHOOK_SECRETS": [HIDDEN_SECRET, None]},
    "an age": {**CREDENTIALS, "MAX_DISPATCH_AGE": 5},
    "twice": {**CREDENTIALS, "ACCOUNTS": {"default": CREDENTIALS}},
    "an account": {"ACCOUNTS": {"almaty": CREDENTIALS, "astana": {**CREDENTIALS, "BASE_URL": "kaspi.example"}}},
    "an alias": {"ACCOUNTS": {"almaty": CREDENTIALS, "алматы": CREDENTIALS}},
    "an account that is none": {"ACCOUNTS": {"almaty": CREDENTIALS, "astana": 5}},
    "adapters that cannot be copied": {**CREDENTIALS, "ORDER_ADAPTERS": [os]},
}
READ = {
    "account": lambda: conf.account("almaty"),
    "parse": lambda: conf.parse(django_settings.KASPI_DELIVERY, debug=False),
}


def reports(read):
    """Return what Django's error page and its mail say of reading the settings, and a log's traceback."""
    try:
        read()
    except ImproperlyConfigured:
        reporter = ExceptionReporter(RequestFactory().get("/"), *sys.exc_info())
        frames = [frame for frame in reporter.get_traceback_frames() if frame["filename"] == conf.__file__]
        assert frames
        shown = [reporter.get_traceback_html(), reporter.get_traceback_text(), traceback.format_exc()]
        return "".join((*shown, repr([frame["vars"] for frame in frames])))
    pytest.fail("the settings were read")


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("read", READ)
def test_an_error_page_shows_no_credential(settings, broken, read):
    """Django shows the variables of each function that an error passed, and masks them by their names alone."""
    settings.DEBUG, settings.KASPI_DELIVERY = True, BROKEN[broken]
    shown = reports(READ[read])
    assert HIDDEN_KEY not in shown
    assert HIDDEN_SECRET not in shown


@pytest.mark.parametrize(
    ("read", "variables"),
    [
        (lambda: conf.from_env(**CREDENTIALS, RUNER="worker"), {}),
        (conf.from_env, {"MAX_REQUESTS_PER_SECOND": HIDDEN_KEY}),
        (conf.from_env, {"ACCOUNTS": "default"}),
        (conf.from_env, {"RUNNER_FILE": "/nowhere/runner"}),
        (conf.from_env, {"API_KEY_FILE": HIDDEN_KEY}),
        (conf.from_env, {"API_KEY_FILE": HIDDEN_KEY * 500}),
    ],
)
def test_an_error_of_the_environment_shows_no_credential(environment, settings, read, variables):
    """Neither of the variable that is wrong, in which a key may stand for its file's name, nor of the others."""
    environment(API_KEY=HIDDEN_KEY, WEBHOOK_SECRETS=HIDDEN_SECRET, **variables)
    settings.DEBUG, settings.KASPI_DELIVERY = True, {}
    shown = reports(read)
    assert HIDDEN_KEY not in shown
    assert HIDDEN_SECRET not in shown
    assert "API_KEY_FILE" not in variables or "must be the path of a file, not the value itself" in shown


@pytest.mark.parametrize("key", ["ENVIRONMENT", "BASE_URL", "RUNNER", "MAX_REQUESTS_PER_SECOND"])
def test_no_variable_shows_what_another_one_holds(environment, key):
    """Staff may take it for a shell's; the error must not print the key."""
    environment(API_KEY=HIDDEN_KEY, **{key: "$KASPI_DELIVERY_API_KEY"})
    with pytest.raises(ImproperlyConfigured) as caught:
        conf.parse(conf.from_env(), debug=False)
    assert HIDDEN_KEY not in str(caught.value)


def test_a_file_that_is_no_text_is_named_without_its_content(environment, tmp_path):
    """With its variable."""
    (tmp_path / "secret").write_bytes(b"the-key\xff")
    environment(API_KEY_FILE=str(tmp_path / "secret"))
    with pytest.raises(ImproperlyConfigured, match="KASPI_DELIVERY_API_KEY_FILE names") as caught:
        conf.from_env()
    assert "the-key" not in str(caught.value)
