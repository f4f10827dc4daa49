"""The adapter is called in the project's language and time zone, in every request and thread."""

import asyncio
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone, translation
from django.utils.translation import get_language, gettext_lazy

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.orders import adapters
from kaspi_delivery_django.services import cancel_delivery, errors, refresh_delivery
from kaspi_delivery_django.services.deliveries import payloads
from kaspi_delivery_django.services.maintenance import backfill
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

CALLS = []
LATE = datetime(2026, 3, 1, 21, 0, tzinfo=UTC)  # in Almaty it is the next day

METHODS = {"wants_delivery", "wants_cancel", "cancel_reason", "external_order_id", "account", "build_request"}


def note(what):
    """Record the language and the time zone of a call."""
    CALLS.append((what, get_language(), timezone.get_current_timezone_name()))


class RecordingAdapter(OrderAdapter):
    """An adapter that records each call's language and time zone, and changes both."""

    def wants_delivery(self, order):
        note("wants_delivery")
        translation.activate("en")
        timezone.activate(ZoneInfo("Asia/Tokyo"))
        return super().wants_delivery(order)

    def wants_cancel(self, order):
        note("wants_cancel")
        return super().wants_cancel(order)

    def cancel_reason(self, order):
        note("cancel_reason")
        return gettext_lazy("Cancelled")

    def external_order_id(self, order):
        note("external_order_id")
        return super().external_order_id(order)

    def account(self, order):
        note("account")
        return super().account(order)

    def build_request(self, order):
        note("build_request")
        return super().build_request(order)

    def orders_to_enqueue(self):
        note("orders_to_enqueue")
        return Order.objects.filter(created_at__date="2026-03-02")


@pytest.fixture(autouse=True)
def shop(settings):
    """Use the recording adapter."""
    CALLS.clear()
    settings.LANGUAGE_CODE, settings.TIME_ZONE = "ru", "Asia/Almaty"
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [f"{__name__}.RecordingAdapter"]}


@pytest.fixture(params=["kk", None, ""], ids=["another", "none", "as it is"])
def elsewhere(request):
    """Run the test in another language and time zone."""
    before = get_language()
    if request.param:
        translation.activate(request.param)
    elif request.param is None:
        translation.deactivate_all()
    with timezone.override("America/New_York" if request.param != "" else None):
        yield
        assert get_language() == (before if request.param == "" else request.param)
    translation.deactivate()


def test_every_method_is_called_in_the_projects_locale(elsewhere, kaspi, turnable):
    """By a save, a sender, a refresh and a cancel."""
    zone = timezone.get_current_timezone_name()
    order = Order.objects.create()
    worker = Worker(log=lambda _line: None)
    worker.run_round()
    refresh_delivery(Delivery.objects.get())
    worker.run_round()
    order.cancelled = True
    order.save()
    assert {what for what, *_locale in CALLS} == METHODS
    assert {tuple(locale) for _what, *locale in CALLS} == {("ru", "Asia/Almaty")}
    assert timezone.get_current_timezone_name() == zone


def test_a_lazy_reason_is_translated_to_the_projects_language(kaspi, drain, elsewhere, settings):
    """Before the locale is restored."""
    order = Order.objects.create()
    with translation.override(settings.LANGUAGE_CODE):
        expected = str(gettext_lazy("Cancelled"))
    assert payloads.cancel_reason_of(order) == expected


def test_an_order_without_an_adapter_has_no_reason(kaspi, settings):
    """The settings were changed meanwhile."""
    order = Order.objects.create()
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": []}
    with pytest.raises(errors.AdapterFailed, match="no adapter"):
        payloads.cancel_reason_of(order)


def test_a_date_in_a_queryset_is_in_the_projects_time_zone(elsewhere, kaspi, settings):
    """The query is compiled after the adapter returned it."""
    if not connection.features.has_zoneinfo_database:
        pytest.skip("this server has no table of time zones")
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "worker"}
    Order.objects.bulk_create([Order()])
    Order.objects.update(created_at=LATE)
    [adapter] = adapters().values()
    assert [dict(counts) for counts in backfill.enqueue(adapter, batch=1)] == [{"seen": 1, "booked": 1}]


def test_an_order_is_read_in_the_projects_language(elsewhere, kaspi, monkeypatch):
    """Translated models remember the language that they were read in."""
    Order.objects.create()
    delivery, read_in = Delivery.objects.get(), []
    from_db = Order.from_db.__func__

    def note_language(cls, *args, **kwargs):
        read_in.append(get_language())
        return from_db(cls, *args, **kwargs)

    monkeypatch.setattr(Order, "from_db", classmethod(note_language))
    payloads.order_of(delivery)
    payloads.orders_of([delivery])
    assert read_in == ["ru", "ru"]


def test_the_locale_is_restored_after_an_error(elsewhere):
    """As after a result."""
    before = get_language(), timezone.get_current_timezone_name()
    with pytest.raises(errors.AdapterFailed):
        errors.call_adapter(int, "no number")
    assert (get_language(), timezone.get_current_timezone_name()) == before


def test_a_lazy_answer_is_evaluated_in_the_projects_locale(elsewhere):
    """Such as a queryset with a date."""

    class Lazy:
        def __bool__(self):
            note("bool")
            return True

    assert errors.call_adapter_predicate(Lazy) is True
    assert CALLS == [("bool", "ru", "Asia/Almaty")]


def test_async_tasks_have_their_own_locale():
    """Before and after a call."""

    async def task(language):
        translation.activate(language)
        await asyncio.sleep(0)
        seen = errors.call_adapter(get_language)
        await asyncio.sleep(0)
        return seen, get_language()

    async def both():
        return await asyncio.gather(task("kk"), task("en"))

    assert asyncio.run(both()) == [("ru", "kk"), ("ru", "en")]


def test_a_project_without_translations_works(settings, kaspi, drain):
    """USE_I18N False."""
    settings.USE_I18N = False
    Order.objects.create()
    drain()
    assert Delivery.objects.get().status == "created"


def test_a_cancel_by_staff_keeps_their_language(elsewhere, kaspi):
    """Their page is translated to it."""
    before = get_language()
    Order.objects.create()
    cancel_delivery(Delivery.objects.get())
    assert get_language() == before
