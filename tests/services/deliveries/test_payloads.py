"""The adapter is asked in the project's language and time zone, whoever's request or thread it is."""

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

SEEN = []
LATE = datetime(2026, 3, 1, 21, 0, tzinfo=UTC)  # the next day already in Almaty

QUESTIONS = {"wants_delivery", "wants_cancel", "cancel_reason", "external_order_id", "account", "build_request"}


def note(what):
    """Remember in which surrounding something was asked."""
    SEEN.append((what, get_language(), timezone.get_current_timezone_name()))


class Noting(OrderAdapter):
    """Notes the surrounding of each question, and leaves another one behind."""

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
    """Use an adapter that notes what surrounds it."""
    SEEN.clear()
    settings.LANGUAGE_CODE, settings.TIME_ZONE = "ru", "Asia/Almaty"
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [f"{__name__}.Noting"]}


@pytest.fixture(params=["kk", None, ""], ids=["another", "none", "as it is"])
def elsewhere(request):
    """Run the test in a customer's or a colleague's language and time zone."""
    before = get_language()
    if request.param:
        translation.activate(request.param)
    elif request.param is None:
        translation.deactivate_all()
    with timezone.override("America/New_York" if request.param != "" else None):
        yield
        assert get_language() == (before if request.param == "" else request.param)
    translation.deactivate()


def test_every_question_is_asked_in_the_projects_surrounding(elsewhere, kaspi, turnable):
    """A save, the sending, the comparison with a later refresh, a cancel."""
    zone = timezone.get_current_timezone_name()
    order = Order.objects.create()
    worker = Worker(log=lambda _line: None)
    worker.run_round()
    refresh_delivery(Delivery.objects.get())
    worker.run_round()
    order.cancelled = True
    order.save()
    assert {what for what, *_surrounding in SEEN} == QUESTIONS
    assert {tuple(surrounding) for _what, *surrounding in SEEN} == {("ru", "Asia/Almaty")}
    assert timezone.get_current_timezone_name() == zone


def test_a_lazy_reason_is_the_projects_text(kaspi, drain, elsewhere, settings):
    """It is translated while the project's language is active."""
    order = Order.objects.create()
    with translation.override(settings.LANGUAGE_CODE):
        expected = str(gettext_lazy("Cancelled"))
    assert payloads.cancel_reason_of(order) == expected


def test_an_order_whose_adapter_left_the_settings_has_no_reason(kaspi, settings):
    """As when they change between the read and the question."""
    order = Order.objects.create()
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": []}
    with pytest.raises(errors.AdapterFailed, match="no adapter"):
        payloads.cancel_reason_of(order)


def test_a_date_in_a_queryset_is_one_of_the_projects(elsewhere, kaspi, settings):
    """It is compiled when it is read, long after the adapter returned it."""
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


def test_what_was_active_comes_back_after_an_error(elsewhere):
    """As after an answer."""
    before = get_language(), timezone.get_current_timezone_name()
    with pytest.raises(errors.AdapterFailed):
        errors.call_adapter(int, "no number")
    assert (get_language(), timezone.get_current_timezone_name()) == before


def test_an_answer_that_is_evaluated_late_is_evaluated_there(elsewhere):
    """A queryset, say, whose condition has a date."""

    class Lazy:
        def __bool__(self):
            note("bool")
            return True

    assert errors.call_adapter_predicate(Lazy) is True
    assert SEEN == [("bool", "ru", "Asia/Almaty")]


def test_tasks_do_not_disturb_each_other():
    """Each async task has its own language, before and after."""

    async def task(language):
        translation.activate(language)
        await asyncio.sleep(0)
        seen = errors.call_adapter(get_language)
        await asyncio.sleep(0)
        return seen, get_language()

    async def both():
        return await asyncio.gather(task("kk"), task("en"))

    assert asyncio.run(both()) == [("ru", "kk"), ("ru", "en")]


def test_a_project_without_translations_is_fine(settings, kaspi, drain):
    """USE_I18N False."""
    settings.USE_I18N = False
    Order.objects.create()
    drain()
    assert Delivery.objects.get().status == "created"


def test_a_cancel_by_staff_leaves_their_language(elsewhere, kaspi):
    """The answer to their request is in it."""
    before = get_language()
    Order.objects.create()
    cancel_delivery(Delivery.objects.get())
    assert get_language() == before
