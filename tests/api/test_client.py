"""The description of the API, and a client that is generated from it: nothing of it is written by hand."""

import importlib
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from kaspi_delivery_django.api import problems
from kaspi_delivery_django.api.views import DeliveryViewSet
from kaspi_delivery_django.models import Delivery
from tests.api.conftest import ALL, LIST, address, token_of
from tests.openapi_documents import described, faults, written

PACKAGE = "kaspi_delivery_client"


@pytest.fixture
def generated(tmp_path, monkeypatch):
    """Generate a typed client from the description, without a network; return what imports its modules."""
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    (tmp_path / "schema.yml").write_text(written())
    options = ["--path", "schema.yml", "--output-path", PACKAGE, "--meta", "none", "--config", "config.yml"]
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: importlib.import_module(f"{PACKAGE}.{name}")


@pytest.fixture
def operations():
    """Return the operations of the API by their names."""
    paths = [methods for path, methods in described()["paths"].items() if path.startswith("/kaspi/api/v1/")]
    found = [one for methods in paths for one in methods.values()]
    return {one["operationId"].removeprefix("kaspi_delivery_"): one for one in found}


def test_every_endpoint_is_described(operations):
    """Under one tag, with a name, with the host's login, and with every problem that it can answer."""
    actions = {action.url_path.replace("-", "_") for action in DeliveryViewSet.get_extra_actions()}
    assert set(operations) == actions | {"list", "read", "book", "events"}
    for one in operations.values():
        assert one["tags"] == ["Kaspi Delivery"]
        assert {"tokenAuth": []} in one["security"]
        assert {"401", "403", "405", "429"} <= set(one["responses"])
    assert all(name.startswith("KaspiDelivery") for name in described()["components"]["schemas"])
    headers = [parameter["name"] for parameter in operations["reissue"]["parameters"] if parameter["in"] == "header"]
    assert headers == ["Idempotency-Key"]
    answers = str([one["responses"] for one in operations.values()])
    assert {code for code in problems.CODES if f"`{code}`" in answers} == problems.CODES.keys() - {"error"}


@pytest.mark.django_db
def test_answers_are_as_described(operations, booked, api, program):
    """With every field, and no other: for who may see everything, for who may not, and the problems."""
    Delivery.objects.update(attention="refused")
    for client in (api, program(name="1c")):
        for name, url in (("read", address(booked)), ("list", LIST)):
            assert faults(operations[name]["responses"]["200"], client.get(url).json()) == []
    refused = operations["reissue"]["responses"]["409"]
    for action in ("reissue", "cancel"):
        assert faults(refused, api.post(address(booked, action)).json(), problems.MEDIA_TYPE) == []


@pytest.mark.django_db(transaction=True)
def test_a_generated_client_books_follows_and_cancels(generated, live_server, program, unbooked, drain):
    """Over HTTP, with the types of the description."""
    models, calls = generated("models"), "api.kaspi_delivery.kaspi_delivery_"
    token = token_of(program(*ALL))
    with generated("client").AuthenticatedClient(live_server.url, token, prefix="Token") as client:
        booking = models.KaspiDeliveryBooking(order_id=str(unbooked.pk))
        for _attempt in range(2):
            booked = generated(f"{calls}book").sync(client=client, body=booking, idempotency_key="order-1")
            assert isinstance(booked, models.KaspiDelivery)
        assert booked.status == ""
        drain()
        read = generated(f"{calls}read").sync(booked.id, client=client)
        assert (read.status, read.order.model, read.dropoff.name) == ("created", "shop.Order", unbooked.name)
        assert read.history[0].to_status == "created"
        assert "cancel" in read.allowed_actions
        assert "reissue" in read.refused_actions

        reason = models.KaspiDeliveryCancel(reason="out of stock")
        cancelled = generated(f"{calls}cancel").sync(booked.id, client=client, body=reason)
        assert cancelled.cancel_requested_at is not None
        drain()
        assert generated(f"{calls}read").sync(booked.id, client=client).status == "cancelled"
        body = models.KaspiDeliveryLink(delivery_id="dlv_1")
        refusal = generated(f"{calls}link").sync(booked.id, client=client, body=body)
        assert isinstance(refusal, models.KaspiDeliveryProblem)
        assert (refusal.status, refusal.code) == (409, "not_allowed")

        again = generated(f"{calls}reissue").sync(booked.id, client=client, body=models.KaspiDeliveryConfirmation())
        assert again.generation == 2
        page = generated(f"{calls}list").sync(client=client, page_size=1)
        cursor = parse_qs(urlsplit(page.next_).query)["cursor"][0]
        following = generated(f"{calls}list").sync(client=client, page_size=1, cursor=cursor)
        assert [one.id for one in (*page.results, *following.results)] == [again.id, booked.id]
        assert following.next_ is None
