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
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

pytestmark = pytest.mark.django_db

CALLS = []
LATE = datetime(2026, 3, 1, 21, 0, tzinfo=UTC)  # in Almaty it is the next day
METHODS = {"wants_delivery", "wants_cancel", "cancel_reason", "external_order_id", "account", "build_request"}


def recorded(name):
    """Return the adapter's method, which records the language and the time zone of each call."""

    def method(self, order):
        CALLS.append((name, get_language(), timezone.get_current_timezone_name()))
        return getattr(super(RecordingAdapter, self), name)(order)

    return method


class RecordingAdapter(OrderAdapter):
    """An adapter that records each call, and changes the language and the time zone itself."""

    wants_cancel, external_order_id = recorded("wants_cancel"), recorded("external_order_id")
    account, build_request = recorded("account"), recorded("build_request")

    def wants_delivery(self, order):
        is_wanted = recorded("wants_delivery")(self, order)
        translation.activate("en")
        timezone.activate(ZoneInfo("Asia/Tokyo"))
        return is_wanted

    def cancel_reason(self, order):
        recorded("cancel_reason")(self, order)
        return gettext_lazy("Cancelled")

    def orders_to_enqueue(self):
        return Order.objects.filter(created_at__date="2026-03-02")


@pytest.fixture(autouse=True)
def shop(settings):
    """Use the recording adapter."""
    CALLS.clear()
    settings.LANGUAGE_CODE, settings.TIME_ZONE = "ru", "Asia/Almaty"
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [f"{__name__}.RecordingAdapter"]}


@pytest.fixture(params=["kk", None, ""], ids=["another", "none", "unchanged"])
def elsewhere(request):
    """Run the test in another language and time zone, which it must not change."""
    before = get_language()
    if request.param:
        translation.activate(request.param)
    elif request.param is None:
        translation.deactivate_all()
    with timezone.override("America/New_York" if request.param != "" else None):
        zone = timezone.get_current_timezone_name()
        yield
        assert get_language() == (before if request.param == "" else request.param)
        assert timezone.get_current_timezone_name() == zone
    translation.deactivate()


def test_every_method_is_called_in_the_projects_locale(elsewhere, kaspi, drain, settings):
    """By a save, a sender, a refresh and a cancel; a lazy reason is translated before the locale is restored."""
    order = Order.objects.create()
    drain()
    refresh_delivery(Delivery.objects.get())
    drain()
    order.cancelled = True
    order.save()
    assert {name for name, *_locale in CALLS} == METHODS
    assert {tuple(locale) for _name, *locale in CALLS} == {("ru", "Asia/Almaty")}
    with translation.override(settings.LANGUAGE_CODE):
        expected = str(gettext_lazy("Cancelled"))
    assert payloads.cancel_reason_of(order) == expected


def test_an_order_without_an_adapter_has_no_reason(kaspi, settings):
    """The settings were changed meanwhile."""
    order = Order.objects.create()
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": []}
    with pytest.raises(errors.AdapterFailed, match="no adapter"):
        payloads.cancel_reason_of(order)


def test_a_date_in_a_queryset_is_in_the_projects_time_zone(elsewhere, kaspi):
    """The query is compiled after the adapter returned it."""
    if not connection.features.has_zoneinfo_database:
        pytest.skip("this server has no table of time zones")
    Order.objects.bulk_create([Order()])
    Order.objects.update(created_at=LATE)
    [adapter] = adapters().values()
    assert [dict(counts) for counts in backfill.enqueue(adapter, batch=1)] == [{"seen": 1, "booked": 1}]


def test_an_order_is_read_in_the_projects_language(elsewhere, kaspi, monkeypatch):
    """Translated models remember the language that they were read in; staff who cancel keep their own."""
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
    cancel_delivery(delivery)


def test_the_locale_is_restored_after_an_error(elsewhere):
    """A lazy answer, such as a queryset with a date, is evaluated before."""

    class Lazy:
        def __bool__(self):
            return (get_language(), timezone.get_current_timezone_name()) == ("ru", "Asia/Almaty")

    assert errors.call_adapter_predicate(Lazy) is True
    with pytest.raises(errors.AdapterFailed):
        errors.call_adapter(int, "no number")


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
