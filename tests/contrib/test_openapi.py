"""What drf-spectacular says of our endpoints, and that nobody who does without it loads it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.urls import reverse

from kaspi_delivery_django.tracking import token_of
from tests import webhook_contract
from tests.conftest import event
from tests.openapi_documents import described_by_spectacular, faults, schema_of

ROOT = Path(__file__).resolve().parent.parent.parent
REST = "/kaspi/api/v1/"
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
    """Return the description of our public addresses, which need no login."""
    found = described_by_spectacular(settings, tmp_path)
    found["paths"] = {path: one for path, one in found["paths"].items() if not path.startswith(REST)}
    return found


def operation(described, path):
    """Return the one operation of a path."""
    [found] = described["paths"][path].values()
    return found


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
