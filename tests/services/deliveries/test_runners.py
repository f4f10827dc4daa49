"""When the inline runner makes the first attempt: at the commit, or at the end of the request, under WSGI and ASGI."""

import asyncio
import sys
from types import ModuleType
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished, request_started
from django.db import connections, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory
from django.urls import path

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.services.deliveries import runners
from tests.conftest import PATIENCE_S
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def inline(configure, kaspi):
    """Use the default runner, and let it log its line again."""
    configure(RUNNER="inline")
    runners._log_once.cache_clear()


def descriptions(kaspi):
    """Return the descriptions of the booked parcels, which are made of the orders' lines."""
    return [remote.request["parcel"]["description"] for remote in kaspi.deliveries.values()]


@pytest.mark.parametrize("is_rolled_back", [False, True])
@pytest.mark.failure_mode("save: rollback")
def test_an_order_in_a_transaction_is_sent_at_its_commit(kaspi, is_rolled_back):
    """With the lines that were saved after it; promise 4: a rolled back one leaves no row, and is not sent."""
    with transaction.atomic():
        order = Order.objects.create()
        order.lines.create(title="A samovar")
        assert kaspi.requests == []
        transaction.set_rollback(is_rolled_back)
    assert descriptions(kaspi) == ([] if is_rolled_back else ["A samovar"])
    assert ApiCall.objects.exists() is not is_rolled_back


def test_an_order_without_a_transaction_is_sent_at_the_end_of_the_request(kaspi):
    """The view saves the order's lines after it."""
    request_started.send(sender=None)
    order = Order.objects.create()
    assert kaspi.requests == []
    order.lines.create(title="A samovar")
    request_finished.send(sender=None)
    assert descriptions(kaspi) == ["A samovar"]


@pytest.mark.parametrize(("runner", "level"), [("inline", "WARNING"), ("worker", "INFO")])
def test_outside_of_a_request_it_is_left_to_the_worker(kaspi, drain, configure, caplog, runner, level):
    """Also if a request ended before and another begins later; the sender is logged once."""
    configure(RUNNER=runner)
    with caplog.at_level("INFO"):
        request_started.send(sender=None)
        Order.objects.create()
        request_finished.send(sender=None)
        assert "kaspi_worker" not in caplog.text
        for _ in range(3):
            Order.objects.create()
        request_started.send(sender=None)
        request_finished.send(sender=None)
    assert [record.levelname for record in caplog.records if "kaspi_worker will send it" in record.message] == [level]
    assert len(kaspi.deliveries) == (1 if runner == "inline" else 0)
    drain()
    assert len(kaspi.deliveries) == 4


@pytest.mark.parametrize("is_request", [False, True])
def test_an_error_after_the_commit_is_logged(monkeypatch, caplog, is_request):
    """At the commit or at the end of the request, without its text; the call is still due, and the shop's hooks run."""
    fail = Mock(side_effect=ValueError("+7 701 999 8877"))
    monkeypatch.setattr("kaspi_delivery_django.services.outbox.sender.send_inline", fail)
    ran = []
    if is_request:
        request_started.send(sender=None)
        Order.objects.create()
        request_finished.send(sender=None)
    else:
        with transaction.atomic():
            Order.objects.create()
            transaction.on_commit(lambda: ran.append(True))
    assert ran or is_request
    assert ("ValueError" in caplog.text, "999 8877" in caplog.text) == (True, False)
    assert ApiCall.objects.get().state == "due"


def test_a_runner_that_is_not_installed_breaks_nothing(monkeypatch, configure, caplog):
    """Neither the start of a process nor a save; the log names the missing module."""
    for runner in ("worker", "django_tasks", "no such runner", "celery"):
        configure(RUNNER=runner)
        monkeypatch.setitem(runners.RUNNERS, "celery", "no_such_package.enqueue")
        runners.load_runner()
    with transaction.atomic():
        Order.objects.create()
    assert "ModuleNotFoundError" in caplog.text
    assert ApiCall.objects.get().state == "due"


def checkout(_request=None):
    """Save an order and then its lines, without a transaction."""
    order = Order.objects.create()
    order.lines.create(title="A samovar")
    return HttpResponse(order.pk)


async def async_view(_request):
    """Save by the ORM's asynchronous methods."""
    order = await Order.objects.acreate()
    await order.lines.acreate(title="A samovar")
    return HttpResponse(order.pk)


async def gathering_view(_request):
    """Save in another task."""
    [answer] = await asyncio.gather(sync_to_async(checkout)())
    return answer


async def foreign_thread_view(_request):
    """Save in a thread that Django does not know, which closes its connections."""

    def run():
        try:
            return checkout()
        finally:
            connections.close_all()

    return await sync_to_async(run, thread_sensitive=False)()


async def streaming_view(_request):
    """Save before the answer is streamed."""
    answer = await sync_to_async(checkout)()

    async def parts():
        yield answer.content

    return StreamingHttpResponse(parts())


async def failing_view(_request):
    """Save, and fail."""
    await sync_to_async(checkout)()
    raise ValueError("no answer")


VIEWS = [checkout, async_view, gathering_view, foreign_thread_view, streaming_view, failing_view]


@pytest.fixture
def urls(settings, monkeypatch):
    """Serve the views under their names; return the module of URLs."""
    module = ModuleType("tests.services.asgi_urls")
    module.urlpatterns = [path(f"{view.__name__}/", view) for view in VIEWS]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.ROOT_URLCONF = module.__name__
    return module


async def visit(name):
    """Request a page as a server does; return the status once the request has ended."""
    scope = AsyncRequestFactory().get(f"/{name}/").scope
    visitor = ApplicationCommunicator(get_asgi_application(), scope)
    await visitor.send_input({"type": "http.request", "body": b"", "more_body": False})
    begun = await visitor.receive_output(PATIENCE_S)
    while (await visitor.receive_output(PATIENCE_S)).get("more_body"):
        pass
    await visitor.wait(PATIENCE_S)
    return begun["status"]


@pytest.mark.usefixtures("urls")
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_under_asgi_it_is_sent_at_the_end_of_the_request(kaspi, view):
    """With its lines, also after an error; nothing of the request is kept."""
    assert asyncio.run(visit(view.__name__)) == (500 if view is failing_view else 200)
    assert descriptions(kaspi) == ["A samovar"]
    assert dict(runners._deferred_under_asgi) == {}


def test_under_asgi_requests_are_apart(kaspi, urls):
    """The end of one does not send an order of another, which has no lines yet."""
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
        await visit("checkout")
        sent_meanwhile = len(kaspi.deliveries)
        ended.set()
        await slow
        return sent_meanwhile

    urls.urlpatterns.append(path("slow_view/", slow_view))
    assert asyncio.run(both()) == 1
    assert descriptions(kaspi) == ["A samovar"] * 2
