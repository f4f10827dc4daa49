"""What drf-spectacular says of our endpoints, and that nobody who does without it loads it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.urls import reverse
from jsonschema import Draft202012Validator

from kaspi_delivery_django.tracking import token_of
from tests import webhook_contract
from tests.conftest import event

ROOT = Path(__file__).resolve().parent.parent.parent
WEBHOOK, ACCOUNT, TRACKING = "/kaspi/webhook/", "/kaspi/webhook/{account}/", "/kaspi/api/track/{token}/"
WITHOUT = """
import sys, django
from django.conf import settings
apps = ["django.contrib.contenttypes", "rest_framework", "kaspi_delivery_django"]
settings.configure(INSTALLED_APPS=apps, USE_TZ=True, ROOT_URLCONF="kaspi_delivery_django.urls")
django.setup()
import kaspi_delivery_django.urls
print([name for name in sys.modules if "spectacular" in name or name.endswith("contrib.openapi")])
"""


@pytest.fixture
def described(settings, tmp_path):
    """Return the description that `manage.py spectacular` writes, which must be valid and cause no warning."""
    settings.REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
    file = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(file))
    return yaml.safe_load(file.read_text())


def operation(described, path):
    """Return the one operation of a path."""
    [found] = described["paths"][path].values()
    return found


def schema_of(described, document):
    """Return the JSON schema behind a body, its references resolved."""
    schema = document["content"]["application/json"]["schema"]
    return resolve(schema, described["components"]["schemas"])


def resolve(schema, known):
    """Put what is referred to in the place of the reference; OpenAPI 3.0 has a word of its own for null."""
    if isinstance(schema, list):
        return [resolve(part, known) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return resolve(known[schema["$ref"].rsplit("/", 1)[1]], known)
    found = {name: resolve(part, known) for name, part in schema.items() if name != "nullable"}
    if not schema.get("nullable"):
        return found
    return {**found, "type": [found["type"], "null"]} if "type" in found else {"anyOf": [found, {"type": "null"}]}


def faults(schema, document):
    """Return what a document breaks of its schema; a field that the schema does not name is one."""
    closed = {**schema, "additionalProperties": False}
    return [error.message for error in Draft202012Validator(closed).iter_errors(document)]


def test_each_address_is_described_once(described):
    """Under one spelling, with a name of its own."""
    ours = {path: operation(described, path)["operationId"] for path in described["paths"]}
    assert ours == {
        WEBHOOK: "kaspi_delivery_webhook",
        ACCOUNT: "kaspi_delivery_account_webhook",
        TRACKING: "kaspi_delivery_tracking",
    }


def test_all_stands_under_one_tag_and_needs_no_login(described):
    """The host's security schemes are not ours."""
    for path in described["paths"]:
        assert operation(described, path)["tags"] == ["Kaspi Delivery"]
        assert operation(described, path).get("security", [{}]) == [{}]


def test_our_schemas_have_names_of_their_own(described):
    """The host may have a `Tracking` too."""
    assert {name for name in described["components"]["schemas"] if not name.startswith("KaspiDelivery")} == set()


@pytest.mark.parametrize("path", [WEBHOOK, ACCOUNT])
def test_the_webhook_is_described_with_its_headers_and_answers(described, path):
    """All that Kaspi sends, and all that it may get."""
    found = operation(described, path)
    required = {(one["in"], one["name"]) for one in found["parameters"] if one["required"]}
    assert {("header", "X-Kaspi-Timestamp"), ("header", "X-Kaspi-Signature")} <= required
    assert (("path", "account") in required) is (path == ACCOUNT)
    assert set(found["responses"]) == {"200", "400", "401", "405", "413", "503"}
    assert set(found["responses"]["503"]["headers"]) == {"Retry-After"}
    assert found["requestBody"]["required"]


def test_the_headers_patterns_take_what_is_signed(described):
    """A client that checks them sends what we verify."""
    patterns = {one["name"]: one["schema"]["pattern"] for one in operation(described, WEBHOOK)["parameters"]}
    stamp, body = "1772366400", webhook_contract.event()
    assert re.search(patterns["X-Kaspi-Timestamp"], stamp)
    assert re.search(patterns["X-Kaspi-Signature"], webhook_contract.signature("s" * 32, stamp, body))


@pytest.mark.django_db
def test_a_webhook_and_its_answers_are_as_described(described, booked, post_webhook):
    """Kaspi's body, and each of our answers to it."""
    found = operation(described, WEBHOOK)
    document = event(booked, "accepted")
    assert faults(schema_of(described, found["requestBody"]), document) == []
    answers = [
        post_webhook(document),
        post_webhook(b"{}"),
        post_webhook(document, signature="0" * 64),
        post_webhook(b"x" * 70_000),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 401, 413]
    for answer in answers:
        assert faults(schema_of(described, found["responses"][str(answer.status_code)]), answer.json()) == []


@pytest.mark.django_db
def test_what_the_tracking_endpoint_answers_is_as_described(described, booked, client):
    """With every field that it has, and no other; and the refusals."""
    responses = operation(described, TRACKING)["responses"]
    assert set(responses) == {"200", "304", "404", "405"}
    address = reverse("kaspi_delivery:tracking-api", args=[token_of(booked)])
    for answer in (client.get(address), client.get(address.replace(".", ".x")), client.post(address)):
        assert faults(schema_of(described, responses[str(answer.status_code)]), answer.json()) == []
    assert {"ETag"} == set(responses["200"]["headers"])


def test_a_project_without_drf_spectacular_does_not_load_it():
    """Neither the library nor our description for it, though it is installed here."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
