"""The inline runner under ASGI: what a request saves without a transaction is sent when that request is over."""

import asyncio
import sys
from types import ModuleType

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from kaspi_delivery_django.services.deliveries import runners
from tests.conftest import PATIENCE_S
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def checkout():
    """Save an order and then its lines, as a view does without a transaction."""
    order = Order.objects.create()
    order.lines.create(title="A samovar")
    return HttpResponse(order.pk)


def sync_view(_request):
    """Save in the thread of the request."""
    return checkout()


async def async_view(_request):
    """Save through the asynchronous methods of the ORM."""
    order = await Order.objects.acreate()
    await order.lines.acreate(title="A samovar")
    return HttpResponse(order.pk)


async def wrapped_view(_request):
    """Save in a function that runs in a thread."""
    return await sync_to_async(checkout)()


async def gathering_view(_request):
    """Save in a task of its own."""
    [answer] = await asyncio.gather(sync_to_async(checkout)())
    return answer


def checkout_elsewhere():
    """Save in a thread that Django does not know: whoever starts one closes its connections."""
    try:
        return checkout()
    finally:
        connections.close_all()


async def elsewhere_view(_request):
    """Save in a thread that is not the request's."""
    return await sync_to_async(checkout_elsewhere, thread_sensitive=False)()


async def streaming_view(_request):
    """Save before the answer is streamed."""
    answer = await sync_to_async(checkout)()

    async def parts():
        yield answer.content

    return StreamingHttpResponse(parts())


async def failing_view(_request):
    """Save, and break."""
    await sync_to_async(checkout)()
    raise ValueError("no answer")


VIEWS = [sync_view, async_view, wrapped_view, gathering_view, elsewhere_view, streaming_view]
NAMES = [view.__name__ for view in VIEWS]


@pytest.fixture(autouse=True)
def shop(settings, monkeypatch, kaspi, transactional_db):
    """Use the default runner, and these pages."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    urls = ModuleType("tests.services.asgi_urls")
    urls.urlpatterns = [path(f"{view.__name__}/", view) for view in (*VIEWS, failing_view)]
    monkeypatch.setitem(sys.modules, urls.__name__, urls)
    settings.ROOT_URLCONF = urls.__name__


async def visit(name):
    """Ask for a page, as a server does; return the status once the request is over."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": f"/{name}/",
        "raw_path": f"/{name}/".encode(),
        "query_string": b"",
        "headers": [(b"host", b"shop.example")],
    }
    visitor = ApplicationCommunicator(get_asgi_application(), scope)
    await visitor.send_input({"type": "http.request", "body": b"", "more_body": False})
    begun = await visitor.receive_output(30)
    while (await visitor.receive_output(30)).get("more_body"):
        pass
    await visitor.wait(PATIENCE_S)
    return begun["status"]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_sent_when_the_request_is_over(kaspi, name):
    """With the lines that were saved after the order."""
    assert asyncio.run(visit(name)) == 200
    [remote] = kaspi.deliveries.values()
    assert remote.request["parcel"]["description"] == "A samovar"


def test_a_page_that_breaks_has_sent_what_it_saved(kaspi):
    """The order is committed."""
    assert asyncio.run(visit("failing_view")) == 500
    assert len(kaspi.deliveries) == 1


def test_nothing_is_kept_of_a_request_that_is_over():
    """A server lives for long."""
    for name in NAMES:
        asyncio.run(visit(name))
    assert dict(runners._deferred_under_asgi) == {}


def test_one_request_does_not_send_what_another_is_still_saving(kaspi, monkeypatch):
    """Its order has no lines yet."""
    saved, ended = asyncio.Event(), asyncio.Event()

    async def slow_view(_request):
        order = await Order.objects.acreate()
        saved.set()
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
        await order.lines.acreate(title="A samovar")
        return HttpResponse(order.pk)

    async def both():
        slow = asyncio.create_task(visit("slow_view"))
        await asyncio.wait_for(saved.wait(), PATIENCE_S)
        await visit("sync_view")
        sent_meanwhile = len(kaspi.deliveries)
        ended.set()
        await slow
        return sent_meanwhile

    sys.modules["tests.services.asgi_urls"].urlpatterns.append(path("slow_view/", slow_view))
    assert asyncio.run(both()) == 1
    assert [remote.request["parcel"]["description"] for remote in kaspi.deliveries.values()] == ["A samovar"] * 2
