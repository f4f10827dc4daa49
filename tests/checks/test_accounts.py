"""Checks of each account, and of what no two may share: each red and green."""

import pytest

from kaspi_delivery_django import conf
from kaspi_delivery_django.sandbox import defaults
from tests.checks.samples import GOOD, LIVE, OTHER, SECRET

PATH = "tests.accounts.merchants.CityAdapter"
LOCALHOST = "http://localhost:8900"


def test_w001_local_without_debug(found):
    """The well-known credentials are refused on a server, and the check says so."""
    messages = found(ENVIRONMENT="local")
    assert list(messages) == ["W001"]
    assert messages["W001"].obj == "default"
    assert 'ENVIRONMENT="production"' in messages["W001"].hint


def test_w001_is_silent_with_debug(found):
    """A developer needs to set nothing else."""
    assert found(debug=True, ENVIRONMENT="local") == {}


@pytest.mark.parametrize("key", ["", "  ", None])
def test_w002_no_key(found, key):
    """Without a key orders wait."""
    messages = found(**{**GOOD, "API_KEY": key})
    assert list(messages) == ["W002"]
    assert "KASPI_DELIVERY_API_KEY" in messages["W002"].hint


@pytest.mark.parametrize("secrets", [[], [""], ["short"], ["1234567"]])
def test_w003_no_secret_to_trust(found, secrets):
    """Without one secret that is long enough every webhook is refused."""
    messages = found(**{**GOOD, "WEBHOOK_SECRETS": secrets})
    assert list(messages) == ["W003"]
    assert "KASPI_DELIVERY_WEBHOOK_SECRETS" in messages["W003"].hint


@pytest.mark.parametrize("extra", [["short"], [f"{number}{SECRET}" for number in range(5)]])
def test_w004_secrets_that_are_ignored(found, extra):
    """A secret beside a good one that is too short or one too many is named, not used."""
    messages = found(**{**GOOD, "WEBHOOK_SECRETS": [SECRET, *extra]})
    assert list(messages) == ["W004"]
    assert "at most 5 secrets, each of 8 characters or more" in messages["W004"].hint


@pytest.mark.parametrize("secret", ["12345678", "x" * 31])
def test_w033_a_short_secret(found, secret):
    """It is used, because Kaspi issues it; the check says that it is weak."""
    messages = found(**{**GOOD, "WEBHOOK_SECRETS": [secret, SECRET]})
    assert list(messages) == ["W033"]
    assert "1 of WEBHOOK_SECRETS under 32 characters" in messages["W033"].msg
    assert secret not in str(messages["W033"])


def test_w033_is_silent_about_long_ones(found):
    """32 characters are enough."""
    assert found(**{**GOOD, "WEBHOOK_SECRETS": ["x" * 32]}) == {}


def test_each_account_is_checked(found):
    """The message names the account it is about, and the variable that it reads."""
    accounts = {"almaty": GOOD, "nur-sultan": {"WEBHOOK_SECRETS": OTHER["WEBHOOK_SECRETS"]}}
    messages = found(ACCOUNTS=accounts, ORDER_ADAPTERS=[PATH])
    assert [(name, message.obj) for name, message in messages.items()] == [("W002", "nur-sultan")]
    assert "KASPI_DELIVERY_NUR_SULTAN_API_KEY" in messages["W002"].hint


@pytest.mark.parametrize(
    ("environment", "address"),
    [("sandbox", conf.PRODUCTION_URL), ("production", conf.SANDBOX_URL), ("local", conf.PRODUCTION_URL)],
)
def test_e009_the_address_of_another_environment(found, environment, address):
    """What is only tried out would be shipped, or what is to be shipped only tried out."""
    messages = found(debug=True, **GOOD, ENVIRONMENT=environment, BASE_URL=address)
    assert list(messages) == ["E009"]
    assert "Leave BASE_URL out" in messages["E009"].hint


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ("production", conf.PRODUCTION_URL),
        ("sandbox", conf.SANDBOX_URL),
        ("sandbox", LOCALHOST),
        ("production", "https://kaspi-gateway.example/delivery"),
    ],
)
def test_e009_is_silent_for_its_own_and_for_any_other(found, environment, address):
    """A gateway of the shop's own may stand between."""
    assert found(**GOOD, ENVIRONMENT=environment, BASE_URL=address) == {}


@pytest.mark.parametrize("environment", ["sandbox", "production"])
def test_w008_the_published_key(found, environment):
    """It is the bundled sandbox's, and opens nothing at Kaspi."""
    messages = found(**{**GOOD, "API_KEY": defaults.API_KEY}, ENVIRONMENT=environment)
    assert list(messages) == ["W008"]
    assert 'ENVIRONMENT="local"' in messages["W008"].hint


def test_w008_is_silent_for_the_bundled_sandbox(found):
    """There it is the right one."""
    assert found(debug=True, ENVIRONMENT="local", API_KEY=defaults.API_KEY) == {}


def two(**own):
    """Return settings with two accounts, the second of which has what is given."""
    return {"ACCOUNTS": {"almaty": GOOD, "astana": {**OTHER, **own}}, "ORDER_ADAPTERS": [PATH]}


def test_two_accounts_with_credentials_of_their_own_are_fine(found):
    """Neither W009 nor W010."""
    assert found(**two()) == {}


@pytest.mark.parametrize("environment", ["sandbox", "production"])
def test_w009_one_key_for_two_accounts(found, environment):
    """In another environment too: Kaspi has a key for each."""
    messages = found(**two(API_KEY=GOOD["API_KEY"], ENVIRONMENT=environment))
    assert list(messages) == ["W009"]
    assert messages["W009"].obj == "almaty, astana"
    assert "the key of its own merchant and environment" in messages["W009"].hint


@pytest.mark.parametrize("environment", ["sandbox", "production"])
def test_w010_one_secret_for_two_accounts(found, environment):
    """One among several is enough."""
    secrets = [*OTHER["WEBHOOK_SECRETS"], SECRET]
    messages = found(**two(WEBHOOK_SECRETS=secrets, ENVIRONMENT=environment))
    assert list(messages) == ["W010"]
    assert messages["W010"].obj == "almaty, astana"
    assert "a secret of its own" in messages["W010"].hint


def test_w009_and_w010_are_silent_for_the_bundled_sandbox(found):
    """Its credentials are published, and every developer's accounts may share them."""
    assert found(debug=True, ENVIRONMENT="local", ACCOUNTS={"almaty": {}, "astana": {}}, ORDER_ADAPTERS=[PATH]) == {}


def test_accounts_without_credentials_share_none(found):
    """What is missing in both is said by other checks."""
    assert set(found(ACCOUNTS={"almaty": {}, "astana": {}}, ORDER_ADAPTERS=[PATH])) == {"W002", "W003"}


def test_w011_orders_that_nobody_comes_for(found):
    """The sandbox books, and sends no courier."""
    messages = found(deploy=True, **{**LIVE, "ENVIRONMENT": "sandbox"})
    assert messages["W011"].obj == "default"
    assert 'ENVIRONMENT="production"' in messages["W011"].hint


def test_w011_is_silent_in_production_and_where_it_is_developed(found):
    """With DEBUG the sandbox is what is wanted."""
    assert "W011" not in found(deploy=True, **LIVE)
    assert "W011" not in found(deploy=True, debug=True, **{**LIVE, "ENVIRONMENT": "sandbox"})


def test_w012_an_address_on_this_machine(found):
    """Left over from development."""
    messages = found(deploy=True, **{**LIVE, "ENVIRONMENT": "sandbox", "BASE_URL": LOCALHOST})
    assert messages["W012"].obj == "default"
    assert "Leave BASE_URL out" in messages["W012"].hint


def test_w012_is_silent_for_https(found):
    """Kaspi's own."""
    assert "W012" not in found(deploy=True, **{**LIVE, "ENVIRONMENT": "sandbox"})


@pytest.mark.parametrize("end", ["/v1", "/v2", "/V1/"])
def test_w024_a_base_url_with_the_version(found, end):
    """The hint says what to write."""
    message = found(**GOOD, BASE_URL=f"https://proxy.example/delivery{end}")["W024"]
    assert 'BASE_URL="https://proxy.example/delivery"' in message.hint


@pytest.mark.parametrize("end", ["", "/", "/v", "/v1/x", "/dev1"])
def test_w024_is_silent_for_other_addresses(found, end):
    """As Kaspi's own are."""
    assert "W024" not in found(**GOOD, BASE_URL=f"https://proxy.example/delivery{end}")
