"""The description of the API, and a client that is generated from it: nothing of it is written by hand."""

import importlib
import shutil
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from kaspi_delivery_django.api import problems
from kaspi_delivery_django.api.views import DeliveryViewSet
from kaspi_delivery_django.models import Delivery
from tests.api.conftest import ALL, LIST, address
from tests.openapi_documents import described_by_spectacular, faults, schema_of
from tests.shop.models import Order

PACKAGE = "kaspi_delivery_client"


@pytest.fixture
def described(settings, tmp_path):
    """Return our OpenAPI description."""
    return described_by_spectacular(settings, tmp_path)


@pytest.fixture
def generated(described, tmp_path, monkeypatch):
    """Generate a typed client from the description, without a network; import it, and return its modules by name."""
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    options = ["--path", "schema.yml", "--output-path", PACKAGE, "--meta", "none", "--config", "config.yml"]
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    shutil.rmtree(tmp_path / PACKAGE)


def operations(described):
    """Yield the operations of the API."""
    for path, methods in described["paths"].items():
        if path.startswith("/kaspi/api/v1/"):
            yield from methods.values()


def test_every_endpoint_is_described(described):
    """Under one tag, with a name, with the host's login, and with every problem that it can answer."""
    actions = {action.url_path.replace("-", "_") for action in DeliveryViewSet.get_extra_actions()}
    names = {one["operationId"].removeprefix("kaspi_delivery_"): one for one in operations(described)}
    assert set(names) == actions | {"list", "read", "book", "events"}
    for one in names.values():
        assert one["tags"] == ["Kaspi Delivery"]
        assert {"tokenAuth": []} in one["security"]
        assert {"401", "403", "405", "429"} <= set(one["responses"])
    assert all(name.startswith("KaspiDelivery") for name in described["components"]["schemas"])
    headers = [parameter["name"] for parameter in names["reissue"]["parameters"] if parameter["in"] == "header"]
    assert headers == ["Idempotency-Key"]
    said = {code for code in problems.CODES if f"`{code}`" in str([one["responses"] for one in names.values()])}
    assert said == problems.CODES.keys() - {"error"}


@pytest.mark.django_db
def test_answers_are_as_described(described, booked, api, program):
    """With every field, and no other: for who may see everything, for who may not, and the problems."""
    names = {one["operationId"].removeprefix("kaspi_delivery_"): one for one in operations(described)}
    Delivery.objects.update(attention="refused")
    for client in (api, program(name="1c")):
        read = client.get(address(booked)).json()
        assert faults(schema_of(described, names["read"]["responses"]["200"]), read) == []
        page = client.get(LIST).json()
        assert faults(schema_of(described, names["list"]["responses"]["200"]), page) == []
    refused = api.post(address(booked, "reissue")).json()
    response = names["reissue"]["responses"]["409"]
    schema = schema_of(described, {"content": {"application/json": response["content"][problems.MEDIA_TYPE]}})
    assert faults(schema, refused) == []
    assert faults(schema, api.post(address(booked, "cancel")).json()) == []


@pytest.mark.django_db(transaction=True)
def test_a_generated_client_books_follows_and_cancels(generated, live_server, program, kaspi, drain):
    """Over HTTP, with the types of the description."""
    token = program(*ALL)._credentials["HTTP_AUTHORIZATION"].removeprefix("Token ")
    order = Order.objects.create(paid=False)
    Order.objects.update(paid=True)
    models, calls = generated("models"), "api.kaspi_delivery.kaspi_delivery_"
    with generated("client").AuthenticatedClient(live_server.url, token, prefix="Token") as client:
        booking = models.KaspiDeliveryBooking(order_id=str(order.pk))
        for _attempt in range(2):
            booked = generated(f"{calls}book").sync(client=client, body=booking, idempotency_key="order-1")
            assert isinstance(booked, models.KaspiDelivery)
        assert booked.status == ""
        drain()
        read = generated(f"{calls}read").sync(booked.id, client=client)
        assert (read.status, read.order.model, read.dropoff.name) == ("created", "shop.Order", order.name)
        assert read.history[0].to_status == "created"
        assert "cancel" in read.allowed_actions
        assert "reissue" in read.refused_actions

        reason = models.KaspiDeliveryCancel(reason="out of stock")
        cancelled = generated(f"{calls}cancel").sync(booked.id, client=client, body=reason)
        assert cancelled.cancel_requested_at is not None
        drain()
        assert generated(f"{calls}read").sync(booked.id, client=client).status == "cancelled"
        refusal = generated(f"{calls}link").sync(
            booked.id, client=client, body=models.KaspiDeliveryLink(delivery_id="dlv_1")
        )
        assert isinstance(refusal, models.KaspiDeliveryProblem)
        assert (refusal.status, refusal.code) == (409, "not_allowed")

        Delivery.objects.filter(pk=booked.id).update(status="delivered")
        wish = models.KaspiDeliveryReturn(reason="too small")
        backs = [generated(f"{calls}return").sync(booked.id, client=client, body=wish) for _attempt in range(2)]
        assert [(back.is_return, back.return_of, back.parcel_key) for back in backs] == [(True, booked.id, "")] * 2
        assert backs[0].id == backs[1].id
        Delivery.objects.filter(pk=booked.id).update(status="cancelled")

        again = generated(f"{calls}reissue").sync(booked.id, client=client, body=models.KaspiDeliveryConfirmation())
        assert again.generation == 2
        page = generated(f"{calls}list").sync(client=client, page_size=2)
        cursor = parse_qs(urlsplit(page.next_).query)["cursor"][0]
        following = generated(f"{calls}list").sync(client=client, page_size=2, cursor=cursor)
        assert [one.id for one in (*page.results, *following.results)] == [again.id, backs[0].id, booked.id]
        assert following.next_ is None
