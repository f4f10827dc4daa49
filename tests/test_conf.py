"""KASPI_DELIVERY: from the environment or a plain dict, read live, strict, and discreet."""

import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path

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


def parse(*, debug=False, **raw):
    """Parse a KASPI_DELIVERY dict."""
    return conf.parse(raw, debug=debug)


def the_account(**raw):
    """Parse a dict that has flat keys only, and return its one account."""
    return parse(**raw).accounts["default"]


def error_of(raw, **kwargs):
    """Return what is said of a KASPI_DELIVERY that is wrong."""
    with pytest.raises(ImproperlyConfigured) as caught:
        conf.parse(raw, debug=False, **kwargs)
    return str(caught.value)


def test_from_env_reads_each_variable(environment):
    """Every variable lands under its key, typed."""
    environment(
        API_KEY="key",
        WEBHOOK_SECRETS=f"{SECRET},{OTHER_SECRET}",
        ENVIRONMENT="production",
        BASE_URL="https://kaspi.example/delivery",
        RUNNER="worker",
        MAX_REQUESTS_PER_SECOND="2.5",
    )
    assert conf.from_env() == {
        "API_KEY": "key",
        "WEBHOOK_SECRETS": [SECRET, OTHER_SECRET],
        "ENVIRONMENT": "production",
        "BASE_URL": "https://kaspi.example/delivery",
        "RUNNER": "worker",
        "MAX_REQUESTS_PER_SECOND": 2.5,
    }


def test_from_env_of_an_empty_environment_is_empty(environment):
    """What is not set is left to the defaults."""
    assert conf.from_env() == {}


def test_keywords_win_over_the_environment(environment):
    """A keyword is taken instead of its variable, and beside the other variables."""
    environment(API_KEY="from-env", RUNNER="worker")
    found = conf.from_env(API_KEY="from-keyword", ORDER_ADAPTERS=["shop.kaspi.Adapter"])
    assert found["API_KEY"] == "from-keyword"
    assert found["RUNNER"] == "worker"
    assert found["ORDER_ADAPTERS"] == ["shop.kaspi.Adapter"]


def test_from_env_refuses_an_unknown_keyword(environment):
    """A typing error is found where it is written."""
    with pytest.raises(ImproperlyConfigured, match=r"no key 'APIKEY'\. Did you mean 'API_KEY'"):
        conf.from_env(APIKEY="key")


@pytest.mark.parametrize("key", ["ENVIRONMENT", "BASE_URL", "RUNNER", "MAX_REQUESTS_PER_SECOND"])
def test_no_variable_shows_what_another_one_holds(environment, key):
    """Somebody mistakes it for a shell's; the error must not print the key."""
    environment(API_KEY="a-key-to-hide", **{key: "$KASPI_DELIVERY_API_KEY"})
    with pytest.raises(ImproperlyConfigured) as caught:
        conf.parse(conf.from_env(), debug=False)
    assert "a-key-to-hide" not in str(caught.value)


def test_a_variable_that_is_set_to_nothing_makes_no_account():
    """As a container does whose secret is not there yet."""
    raw = {"API_KEY": "", "WEBHOOK_SECRETS": [], "ACCOUNTS": {"almaty": {"API_KEY": "key"}}}
    assert list(conf.parse(raw, debug=False).accounts) == ["almaty"]


@pytest.mark.parametrize("secret", ["$tarts-with-a-dollar-and-is-long-enough", "\\$o-does-this-one"])
def test_from_env_takes_keys_and_secrets_as_they_stand(environment, secret):
    """A dollar is a letter: neither looked up as a variable nor shown in an error about one."""
    environment(API_KEY=secret, WEBHOOK_SECRETS=f" {secret}, {SECRET} ,")
    account = the_account(**conf.from_env())
    assert account.api_key == secret
    assert account.webhook_secrets == (secret, SECRET)


@pytest.mark.parametrize(("text", "rate"), [("1e3", 1000), ("0.5", 0.5), (" 7 ", 7)])
def test_from_env_reads_a_rate_as_python_does(environment, text, rate):
    """An exponent is an exponent."""
    environment(MAX_REQUESTS_PER_SECOND=text)
    assert parse(**conf.from_env()).max_requests_per_second == rate


@pytest.mark.parametrize("text", ["", "ten", "10abc", "1,5"])
def test_from_env_names_the_variable_that_is_no_number(environment, text):
    """A malformed rate is an error of ours, which names its variable."""
    environment(MAX_REQUESTS_PER_SECOND=text)
    with pytest.raises(ImproperlyConfigured, match="KASPI_DELIVERY_MAX_REQUESTS_PER_SECOND must"):
        conf.from_env()


def test_from_env_reads_each_account(environment):
    """The aliases are listed, and each has variables of its own; an alias without any is an account too."""
    environment(
        ACCOUNTS="almaty, nur-sultan,",
        ENVIRONMENT="production",
        ALMATY_API_KEY="key",
        ALMATY_WEBHOOK_SECRETS=f"{SECRET},{OTHER_SECRET}",
        NUR_SULTAN_ENVIRONMENT="sandbox",
        NUR_SULTAN_BASE_URL="https://kaspi.example/delivery",
    )
    assert conf.from_env() == {
        "ENVIRONMENT": "production",
        "ACCOUNTS": {
            "almaty": {"API_KEY": "key", "WEBHOOK_SECRETS": [SECRET, OTHER_SECRET]},
            "nur-sultan": {"ENVIRONMENT": "sandbox", "BASE_URL": "https://kaspi.example/delivery"},
        },
    }


def test_from_env_makes_no_account_of_an_empty_list(environment):
    """The flat variables are the one account then."""
    environment(ACCOUNTS="", API_KEY="key")
    assert set(parse(**conf.from_env()).accounts) == {"default"}


def test_flat_variables_beside_listed_accounts_are_the_default_account(environment):
    """A shop with one merchant adds a second one without touching the first one's variables."""
    environment(ACCOUNTS="astana", API_KEY="first", ASTANA_API_KEY="second")
    found = parse(**conf.from_env()).accounts
    assert {alias: account.api_key for alias, account in found.items()} == {"astana": "second", "default": "first"}


def test_a_keyword_wins_over_the_listed_accounts(environment):
    """As over every variable."""
    environment(ACCOUNTS="almaty", ALMATY_API_KEY="key")
    assert conf.from_env(ACCOUNTS={"astana": {}}) == {"ACCOUNTS": {"astana": {}}}


@pytest.mark.parametrize("aliases", ["nur-sultan,nur_sultan", "almaty,Almaty", "default"])
def test_from_env_refuses_aliases_that_share_their_variables(environment, aliases):
    """Which of the two a variable is meant for is not guessed."""
    environment(ACCOUNTS=aliases)
    with pytest.raises(ImproperlyConfigured, match=r"KASPI_DELIVERY_ACCOUNTS names .* choose another alias"):
        conf.from_env()


def test_a_plain_dict_works_as_well():
    """The defaults are those that the documentation names."""
    settings = parse(API_KEY="key", WEBHOOK_SECRETS=[SECRET])
    account = settings.accounts["default"]
    assert (account.api_key, account.webhook_secrets) == ("key", (SECRET,))
    assert (account.environment, account.base_url) == ("sandbox", conf.SANDBOX_URL)
    assert (settings.runner, settings.max_requests_per_second) == ("inline", 10)
    assert settings.max_dispatch_age == timedelta(hours=24)
    assert settings.tracking_hosts == ("track.kaspi.kz",)
    assert settings.final_statuses == ()


def test_nothing_at_all_is_an_account_without_credentials():
    """A project that has not set anything yet still starts."""
    account = the_account()
    assert (account.api_key, account.webhook_secrets) == ("", ())


@pytest.mark.parametrize(
    ("environment_name", "base_url"),
    [("production", conf.PRODUCTION_URL), ("sandbox", conf.SANDBOX_URL)],
)
def test_each_environment_has_its_address(environment_name, base_url):
    """ENVIRONMENT alone is enough to reach Kaspi."""
    assert the_account(ENVIRONMENT=environment_name).base_url == base_url


def test_local_needs_no_key_with_debug():
    """A developer starts with the bundled sandbox's well-known key and secret."""
    account = parse(debug=True, ENVIRONMENT="local").accounts["default"]
    assert account.base_url == defaults.BASE_URL
    assert account.api_key == defaults.API_KEY
    assert account.webhook_secrets == (defaults.WEBHOOK_SECRET,)


def test_local_keeps_what_the_developer_sets():
    """An own key and secret win over the well-known ones."""
    own = {"API_KEY": "own", "WEBHOOK_SECRETS": [SECRET], "BASE_URL": "http://localhost:9000/"}
    account = parse(debug=True, ENVIRONMENT="local", **own).accounts["default"]
    assert (account.api_key, account.webhook_secrets) == ("own", (SECRET,))
    assert account.base_url == "http://localhost:9000"


def test_local_is_refused_without_debug():
    """Published credentials open nothing on a server, not even when they are written out."""
    account = the_account(
        ENVIRONMENT="local",
        API_KEY=defaults.API_KEY,
        WEBHOOK_SECRETS=[defaults.WEBHOOK_SECRET],
    )
    assert (account.api_key, account.webhook_secrets) == ("", ())


def test_override_settings_takes_effect_at_once():
    """Nothing of the setting is frozen at import."""
    with override_settings(KASPI_DELIVERY={"API_KEY": "overridden"}):
        assert conf.account("default").api_key == "overridden"
    assert conf.account("default").api_key == django_settings.KASPI_DELIVERY["API_KEY"]


def test_a_change_in_place_is_seen():
    """The dict itself may be changed, as deep as it goes."""
    accounts = {"almaty": {"API_KEY": "one"}}
    with override_settings(KASPI_DELIVERY={"ACCOUNTS": accounts}):
        assert conf.account("almaty").api_key == "one"
        accounts["almaty"]["API_KEY"] = "two"
        assert conf.account("almaty").api_key == "two"


def test_a_change_of_debug_is_seen():
    """What DEBUG decides is decided again when DEBUG changes."""
    with override_settings(KASPI_DELIVERY={"ENVIRONMENT": "local"}, DEBUG=True):
        assert conf.account("default").api_key
        with override_settings(DEBUG=False):
            assert not conf.account("default").api_key


def test_the_same_dict_is_parsed_once():
    """Reading the settings is cheap."""
    assert conf.current() is conf.current()


def test_a_project_without_the_setting_still_starts():
    """KASPI_DELIVERY may be missing altogether."""
    with override_settings():
        del django_settings.KASPI_DELIVERY
        assert conf.account("default").api_key == ""


def test_an_account_that_is_not_there_is_none():
    """Asking for an unknown alias is no error."""
    assert conf.account("nowhere") is None


def test_several_accounts_share_environment_and_address():
    """The flat ENVIRONMENT and BASE_URL are the accounts' defaults; credentials are not shared."""
    settings = parse(
        ENVIRONMENT="production",
        BASE_URL="https://kaspi.example",
        ACCOUNTS={"almaty": {"API_KEY": "a"}, "astana": {"ENVIRONMENT": "production"}},
    )
    almaty, astana = settings.accounts["almaty"], settings.accounts["astana"]
    assert set(settings.accounts) == {"almaty", "astana"}
    assert (almaty.environment, almaty.api_key) == ("production", "a")
    assert (astana.environment, astana.api_key) == ("production", "")
    assert almaty.base_url == astana.base_url == "https://kaspi.example"


def test_an_account_in_another_environment_does_not_inherit_the_address():
    """What production goes through is no place for the sandbox's orders, nor the other way round."""
    accounts = {"almaty": {}, "astana": {"ENVIRONMENT": "sandbox"}}
    found = parse(ENVIRONMENT="production", BASE_URL="https://kaspi.example", ACCOUNTS=accounts).accounts
    assert found["almaty"].base_url == "https://kaspi.example"
    assert found["astana"].base_url == conf.SANDBOX_URL


def test_the_environment_that_nobody_names_is_the_same_one():
    """An account that spells out the default inherits the address too."""
    found = parse(BASE_URL="https://kaspi.example", ACCOUNTS={"almaty": {"ENVIRONMENT": "sandbox"}}).accounts
    assert found["almaty"].base_url == "https://kaspi.example"


@pytest.mark.parametrize("flat", [{"API_KEY": "key"}, {"WEBHOOK_SECRETS": [SECRET]}])
def test_flat_credentials_beside_accounts_are_the_default_account(flat):
    """Neither a flat key nor flat secrets alone are dropped."""
    settings = parse(**flat, ACCOUNTS={"almaty": {}})
    assert set(settings.accounts) == {"almaty", "default"}


def test_the_default_account_is_not_given_twice():
    """Which of two default accounts is meant is not guessed."""
    raw = {"API_KEY": "key", "ACCOUNTS": {"default": {"API_KEY": "other"}}}
    assert "has 'default' twice" in error_of(raw)


UNKNOWN = [
    ({"APIKEY": ""}, "KASPI_DELIVERY has no key 'APIKEY'. Did you mean 'API_KEY'?"),
    ({"webhook_secret": ""}, "has no key 'webhook_secret'. Known: API_KEY, "),
    ({"WEBHOOK_SECRET": ""}, "Did you mean 'WEBHOOK_SECRETS'?"),
    ({"ORDER_ADAPTER": ""}, "Did you mean 'ORDER_ADAPTERS'?"),
    ({5: ""}, "KASPI_DELIVERY has no key 5. Known: "),
    (
        {"ACCOUNTS": {"almaty": {"API_KEYS": ""}}},
        "KASPI_DELIVERY['ACCOUNTS']['almaty'] has no key 'API_KEYS'. Did you mean 'API_KEY'?",
    ),
    ({"ACCOUNTS": {"almaty": {"RUNNER": ""}}}, "['almaty'] has no key 'RUNNER'."),
]


@pytest.mark.parametrize(("raw", "said"), UNKNOWN)
def test_an_unknown_key_is_refused_with_the_nearest_right_one(raw, said):
    """A typing error never reads as a setting that is missing."""
    assert said in error_of(raw)


@pytest.mark.parametrize("wrong", [{"ENVIRONMENT": "prod"}, {"API_KEY": 5}, {"BASE_URL": "kaspi.example"}])
def test_what_is_wrong_in_an_account_names_the_account(wrong):
    """There may be dozens of them."""
    assert error_of({"ACCOUNTS": {"almaty": {}, "astana": wrong}}).startswith(
        "In the account 'astana': KASPI_DELIVERY['"
    )


WRONG = [
    ("API_KEY", 5, "must be a text"),
    ("API_KEY", "ключ", "printable ASCII"),
    ("API_KEY", "two\nlines", "printable ASCII"),
    ("WEBHOOK_SECRETS", SECRET, "must be a list of texts"),
    ("WEBHOOK_SECRETS", [SECRET, None], "must be a list of texts"),
    ("ENVIRONMENT", "prod", "must be one of production, sandbox, local."),
    ("ENVIRONMENT", ["production"], "must be one of production, sandbox, local"),
    ("BASE_URL", 5, "must be a text"),
    ("BASE_URL", "kaspi.example", "the base URL"),
    ("BASE_URL", "http://kaspi.example", "must start with https://"),
    ("BASE_URL", "https://kaspi.example/?a=b", "must be a plain address"),
    ("BASE_URL", "https://[kaspi", "['BASE_URL']"),
    ("ACCOUNTS", ["almaty"], "must be a dict of alias to account"),
    ("ACCOUNTS", {"almaty": "key"}, "['almaty'] must be a dict"),
    ("ACCOUNTS", {"алматы": {}}, "has the alias 'алматы'"),
    ("ACCOUNTS", {"a" * 41: {}}, "1 to 40 ASCII letters"),
    ("ACCOUNTS", {5: {}}, "has the alias 5"),
    ("ORDER_ADAPTERS", "shop.kaspi.Adapter", "must be a list of texts"),
    ("ORDER_ADAPTERS", [object], "must be a list of texts"),
    ("RUNNER", "thread", "must be one of "),
    ("RUNNER", ["inline"], "must be one of "),
    ("MAX_REQUESTS_PER_SECOND", 0, "must be a number from 0.001 to 10000, or None"),
    ("MAX_REQUESTS_PER_SECOND", True, "must be a number from 0.001 to 10000, or None"),
    ("MAX_REQUESTS_PER_SECOND", "10", "must be a number from 0.001 to 10000, or None"),
    ("MAX_REQUESTS_PER_SECOND", 1e-300, "must be a number from 0.001 to 10000, or None"),
    ("MAX_REQUESTS_PER_SECOND", float("inf"), "must be a number from 0.001 to 10000, or None"),
    ("MAX_REQUESTS_PER_SECOND", float("nan"), "must be a number from 0.001 to 10000, or None"),
    ("MAX_DISPATCH_AGE", 86400, "must be a timedelta above 0"),
    ("MAX_DISPATCH_AGE", timedelta(0), "must be a timedelta above 0"),
    ("REFRESH_AFTER", "30 minutes", "must be a timedelta above 0"),
    ("TRACKING_HOSTS", "track.kaspi.kz", "must be a list of texts"),
    ("FINAL_STATUSES", "returned", "must be a list of texts"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG)
def test_a_wrong_type_or_value_is_refused(key, value, said):
    """The error names the setting, its key, and what it must be."""
    message = error_of({key: value})
    assert said in message
    assert f"KASPI_DELIVERY['{key}']" in message


@pytest.mark.parametrize("raw", [None, [], "key"])
def test_the_setting_itself_must_be_a_dict(raw):
    """Anything else is refused in words."""
    assert error_of(raw) == "KASPI_DELIVERY must be a dict, or conf.from_env(...)."


def test_production_is_never_plain_http():
    """Not even to this machine."""
    raw = {"ENVIRONMENT": "production", "BASE_URL": "http://localhost:8900"}
    assert "must be https:// in production" in error_of(raw)


def test_no_cap_is_a_rate():
    """None takes the cap off."""
    assert parse(MAX_REQUESTS_PER_SECOND=None).max_requests_per_second is None


SECRETS = [
    ([SECRET], 1, 0),
    (["x" * 8], 1, 0),
    (["x" * 7], 0, 1),
    (["   x   "], 0, 1),
    ([SECRET, "short"], 1, 1),
    ([" " * 40], 0, 1),
    ([f"{number}{SECRET}" for number in range(5)], 5, 0),
    ([f"{number}{SECRET}" for number in range(6)], 5, 1),
    ([defaults.WEBHOOK_SECRET], 0, 1),  # it is published with the sandbox
    (["\udcff" * 40, SECRET], 1, 1),  # bytes that are no text, as the environment hands them over
]


@pytest.mark.parametrize(("secrets", "trusted", "ignored"), SECRETS)
def test_only_one_to_five_secrets_are_trusted(secrets, trusted, ignored):
    """One under eight characters, or a sixth, verifies nothing; a check counts them."""
    account = the_account(WEBHOOK_SECRETS=secrets)
    assert (len(account.webhook_secrets), account.ignored_secrets) == (trusted, ignored)


@pytest.mark.parametrize(("secret", "short"), [("x" * 8, 1), ("x" * 31, 1), ("x" * 32, 0)])
def test_a_short_secret_is_used_and_counted(secret, short):
    """Kaspi issues it: the shop cannot make it longer."""
    account = the_account(WEBHOOK_SECRETS=[secret, SECRET])
    assert (account.webhook_secrets, account.short_secrets) == ((secret, SECRET), short)


def test_pasted_spaces_are_no_part_of_a_credential():
    """Outer white space of a key and of a secret is dropped."""
    account = the_account(API_KEY=" key\n", WEBHOOK_SECRETS=[f" {SECRET}\n"])
    assert (account.api_key, account.webhook_secrets) == ("key", (SECRET,))


def test_a_repr_shows_no_credential():
    """Settings and accounts can be printed."""
    shown = repr(parse(API_KEY="the-api-key", WEBHOOK_SECRETS=[SECRET]))
    assert "the-api-key" not in shown
    assert SECRET not in shown


def test_an_error_shows_no_credential():
    """What is said of wrong settings can be logged."""
    said = error_of({"API_KEY": "the-api-key\0", "WEBHOOK_SECRETS": [SECRET]})
    assert "the-api-key" not in said
    assert SECRET not in said


def test_djangos_error_page_masks_the_credentials():
    """The names of our settings are among those that Django hides, at every depth."""
    account = {"API_KEY": "nested-api-key", "WEBHOOK_SECRETS": [OTHER_SECRET]}
    flat = {"API_KEY": "flat-api-key", "WEBHOOK_SECRETS": [SECRET]}
    with override_settings(KASPI_DELIVERY={**flat, "ACCOUNTS": {"almaty": account}}):
        shown = repr(SafeExceptionReporterFilter().get_safe_settings()["KASPI_DELIVERY"])
    assert "almaty" in shown
    for credential in ("nested-api-key", OTHER_SECRET, "flat-api-key", SECRET):
        assert credential not in shown


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
BROKEN = {
    "a typing error": {**CREDENTIALS, "RUNER": "worker"},
    "an environment": {**CREDENTIALS, "ENVIRONMENT": "prod"},
    "an address": {**CREDENTIALS, "BASE_URL": "kaspi.example"},
    "an unreadable address": {**CREDENTIALS, "BASE_URL": "https://[kaspi"},
    "a key": {**CREDENTIALS, "API_KEY": f"{HIDDEN_KEY}\n{HIDDEN_KEY}"},
    "a secret": {**CREDENTIALS, "WEBHOOK_SECRETS": HIDDEN_SECRET},
    "secrets": {**CREDENTIALS, "WEBHOOK_SECRETS": [HIDDEN_SECRET, None]},
    "a runner": {**CREDENTIALS, "RUNNER": ["worker"]},
    "an age": {**CREDENTIALS, "MAX_DISPATCH_AGE": 5},
    "twice": {**CREDENTIALS, "ACCOUNTS": {"default": CREDENTIALS}},
    "an account": {"ACCOUNTS": {"almaty": CREDENTIALS, "astana": {**CREDENTIALS, "BASE_URL": "kaspi.example"}}},
    "an alias": {"ACCOUNTS": {"almaty": CREDENTIALS, "алматы": CREDENTIALS}},
    "an account that is none": {"ACCOUNTS": {"almaty": CREDENTIALS, "astana": 5}},
    "adapters that cannot be copied": {**CREDENTIALS, "ORDER_ADAPTERS": [os]},
}
READ = {
    "current": conf.current,
    "account": lambda: conf.account("almaty"),
    "parse": lambda: conf.parse(django_settings.KASPI_DELIVERY, debug=False),
    "from_env": lambda: conf.from_env(**{**CREDENTIALS, "RUNER": "worker"}),
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


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("read", READ)
def test_an_error_page_shows_no_credential(settings, broken, read, debug):
    """Django shows the variables of each function that an error passed, and masks them by their names alone."""
    settings.DEBUG, settings.KASPI_DELIVERY = debug, BROKEN[broken]
    shown = reports(READ[read])
    assert HIDDEN_KEY not in shown
    assert HIDDEN_SECRET not in shown


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    ("name", "text"),
    [("MAX_REQUESTS_PER_SECOND", HIDDEN_KEY), ("ACCOUNTS", "default"), ("RUNNER_FILE", "/nowhere/runner")],
)
def test_an_error_of_the_environment_shows_no_credential(environment, settings, name, text, debug):
    """Neither of the variable that is wrong nor of the others."""
    environment(API_KEY=HIDDEN_KEY, WEBHOOK_SECRETS=HIDDEN_SECRET, **{name: text})
    settings.DEBUG, settings.KASPI_DELIVERY = debug, {}
    shown = reports(conf.from_env)
    assert HIDDEN_KEY not in shown
    assert HIDDEN_SECRET not in shown


@pytest.fixture
def file(tmp_path):
    """Write a file as a container's secret; return its path."""

    def write(content, name="secret"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_from_env_reads_each_variable_from_a_file(environment, file, ending):
    """A container's secret is a file, and an editor ends it with a new line."""
    texts = {
        "API_KEY": "$key",
        "WEBHOOK_SECRETS": f"{SECRET}{ending or ','}{OTHER_SECRET}",
        "ENVIRONMENT": "production",
        "BASE_URL": "https://kaspi.example/delivery",
        "RUNNER": "worker",
        "MAX_REQUESTS_PER_SECOND": "2.5",
    }
    environment(**{f"{key}_FILE": file(f"{text}{ending}", key) for key, text in texts.items()})
    assert conf.from_env() == {
        **texts,
        "WEBHOOK_SECRETS": [SECRET, OTHER_SECRET],
        "MAX_REQUESTS_PER_SECOND": 2.5,
    }


def test_an_account_reads_its_own_files(environment, file):
    """The list of aliases may be a file too."""
    environment(ACCOUNTS_FILE=file("almaty,nur-sultan\n", "list"), NUR_SULTAN_API_KEY_FILE=file("key\n"))
    assert conf.from_env() == {"ACCOUNTS": {"almaty": {}, "nur-sultan": {"API_KEY": "key"}}}


def test_the_file_wins_over_the_variable(environment, file):
    """As django-environ has it."""
    environment(API_KEY="from-variable", API_KEY_FILE=file("from-file"))
    assert conf.from_env() == {"API_KEY": "from-file"}


def test_a_variable_that_names_no_file_counts_for_nothing(environment):
    """A container sets what it does not need to nothing."""
    environment(API_KEY="key", API_KEY_FILE="", WEBHOOK_SECRETS_FILE="")
    assert conf.from_env() == {"API_KEY": "key"}


def test_a_file_is_read_each_time(environment, file):
    """A rotated secret is taken by the next process that reads it, and by the next test."""
    environment(API_KEY_FILE=file("first"))
    assert conf.from_env() == {"API_KEY": "first"}
    file("second")
    assert conf.from_env() == {"API_KEY": "second"}


def test_a_file_that_is_missing_is_named(environment, tmp_path):
    """With its variable, and what to look for."""
    environment(API_KEY_FILE=str(tmp_path / "absent"))
    with pytest.raises(ImproperlyConfigured, match=r"KASPI_DELIVERY_API_KEY_FILE names '.*absent', which cannot be"):
        conf.from_env()


@pytest.mark.parametrize("prepare", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"the-key\xff")])
def test_a_file_that_cannot_be_read_is_named_without_its_content(environment, tmp_path, prepare):
    """A folder is no file, and bytes are no text."""
    prepare(tmp_path / "secret")
    environment(ALMATY_WEBHOOK_SECRETS_FILE=str(tmp_path / "secret"), ACCOUNTS="almaty")
    with pytest.raises(ImproperlyConfigured, match="KASPI_DELIVERY_ALMATY_WEBHOOK_SECRETS_FILE names") as caught:
        conf.from_env()
    assert "the-key" not in str(caught.value)


@pytest.mark.parametrize("key", [HIDDEN_KEY, "x" * 5000])
def test_a_credential_in_the_place_of_its_files_name_is_not_shown(environment, key):
    """Whoever writes the key into the variable for its file finds it in no log; the error says what belongs there."""
    environment(API_KEY_FILE=key)
    shown = reports(conf.from_env)
    assert key not in shown
    assert "KASPI_DELIVERY_API_KEY_FILE must be the path of a file, not the value itself" in shown


def test_a_file_without_an_end_is_not_read_to_it(environment, tmp_path):
    """A device in the place of a secret costs no more memory than a secret; what a secret is to be is said."""
    if not Path("/dev/zero").exists():
        pytest.skip("no such device here")
    (tmp_path / "secret").symlink_to("/dev/zero")
    environment(API_KEY_FILE=str(tmp_path / "secret"))
    with pytest.raises(ImproperlyConfigured, match="API_KEY_FILE names a file larger than 64 KiB"):
        conf.from_env()


def test_a_file_is_found_from_the_current_folder(environment, file, tmp_path, monkeypatch):
    """A path need not be a whole one."""
    file("key")
    monkeypatch.chdir(tmp_path)
    environment(API_KEY_FILE="secret")
    assert conf.from_env() == {"API_KEY": "key"}
