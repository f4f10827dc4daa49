"""An operator's day, in Russian: on a phone, and by keyboard on a laptop. docs/admin.md has the counts of `CLICKS`."""

import csv
import io

import pytest

from example_project.shop.models import Order
from kaspi_delivery_django.models import Delivery, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from tests.browser import keyboard, pages, rows
from tests.browser.conftest import LAPTOP, PHONE
from tests.conftest import event

REFUSAL = b'{"code": "invalid_address", "message": "No courier drives to Abay 5\\u20442."}'
PARCELS, CHOSEN = 40, 11
CLICKS = {"find": 2, "correct": 4, "cancel": 13, "print": 2, "export": 2, "link": 1, "replay": 4, "silence": 1}
WAYS = {"phone": PHONE, "keyboard": LAPTOP}


class Hand:
    """Clicks and types, and counts the clicks of each errand."""

    def __init__(self, page):
        self.page = page
        self.clicks = dict.fromkeys(CLICKS, 0)

    def errand(self, name):
        """Count the next clicks for this errand."""
        self.name = name

    def click(self, target):
        """Click something that stays on the page."""
        self.clicks[self.name] += 1
        self.act(target)

    def press(self, target):
        """Click something that leads to another page; the wait for that begins with the click, not on the way to it."""
        self.reach(target)
        with self.page.expect_navigation():
            self.click(target)

    def link(self, name, **options):
        """Follow the link of this name."""
        self.press(self.page.get_by_role("link", name=name, **options).first)

    def reach(self, target):
        """Go to it: a finger is there at once."""

    def act(self, target):
        """Use the mouse, or a finger."""
        target.click()

    def write(self, target, text):
        """Write into a field, instead of what is there."""
        target.fill(text)

    def choose(self, target, value):
        """Choose from a list."""
        target.select_option(value)


class Keys(Hand):
    """Does it all without a mouse."""

    def reach(self, target):
        """Press Tab until it has the focus, which takes a while on a long page."""
        keyboard.tab_to(self.page, target)

    def act(self, target):
        """Go to it, and press the key that a link, a button or a box takes."""
        self.reach(target)
        self.page.keyboard.press("Space" if target.get_attribute("type") == "checkbox" else "Enter")

    def write(self, target, text):
        """Go to the field, mark all of it, and type."""
        self.reach(target)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def choose(self, target, value):
        """Go down to the choice."""
        self.reach(target)
        for _ in range(target.locator(f"option[value='{value}']").evaluate("option => option.index")):
            self.page.keyboard.press("ArrowDown")


@pytest.fixture(params=WAYS)
def hand(request, window, operator):
    """Return the operator's hand: with a mouse on a phone, or on the keyboard of a laptop."""
    page = window(operator, viewport=WAYS[request.param], locale="ru-KZ")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return (Keys if request.param == "keyboard" else Hand)(page)


@pytest.fixture
def refused(kaspi, make_order):
    """Return the order that Kaspi refused, as the sixth of the day."""
    for _ in range(5):
        rows.book(make_order, customer_name="Бекзат Омаров")
    kaspi.faults.add(Fault(operation="create", status=422, body=REFUSAL))
    return rows.book(make_order, customer_name="Алия Сапарова").order


@pytest.fixture
def parcels(refused, make_order):
    """Book forty more."""
    return [rows.book(make_order) for _ in range(PARCELS)]


def choose_action(hand, value):
    """Choose a bulk action, and go."""
    hand.choose(hand.page.locator("select[name=action]"), value)
    hand.press(hand.page.locator("button[name=index]"))


def find(hand, order):
    """A customer rings, and says the number of her order."""
    hand.errand("find")
    pages.go_to_list(hand.page)
    hand.write(hand.page.locator("#searchbar"), order.number)
    hand.press(hand.page.locator("#changelist-search [type=submit]"))
    hand.link(order.number)
    assert hand.page.get_by_text("Kaspi отклонил запрос").first.is_visible()
    assert "No courier drives to Abay" in hand.page.locator(".kd-problem").inner_text()


def correct(hand, order):
    """The address was wrong: it is corrected in the shop's own order, and a courier is booked again."""
    hand.errand("correct")
    hand.press(hand.page.locator(".kd-facts").get_by_role("link", name=order.number))
    hand.write(hand.page.get_by_label("Адрес"), "Abay Avenue 52")
    hand.press(hand.page.get_by_role("button", name="Сохранить и продолжить редактирование"))
    hand.link("Вызвать курьера ещё раз")
    hand.press(hand.page.locator("form[method=post]").last.locator("[type=submit]"))
    newest = Delivery.objects.filter(object_id=str(order.pk)).latest("pk")
    assert (newest.generation, newest.status, newest.dropoff_address) == (2, "created", "Abay Avenue 52")


def cancel(hand, parcels, post_webhook):
    """Eleven are taken back; while she reads what she is asked, a courier picks up two of them."""
    hand.errand("cancel")
    pages.go_to_list(hand.page)
    chosen = parcels[-CHOSEN:]
    for delivery in chosen:
        hand.click(hand.page.locator(f".action-select[value='{delivery.pk}']"))
    choose_action(hand, "cancel_deliveries")
    assert "Выбрано: 11" in hand.page.locator("#content").inner_text()
    for delivery in chosen[:2]:
        post_webhook(event(delivery, "in_transit", event_id=f"wh_{delivery.pk}"))
    hand.write(hand.page.get_by_label("Причина"), "Нет на складе")
    hand.press(hand.page.get_by_role("button", name="Отменить доставку"))
    [message] = hand.page.locator(".messagelist li").all()
    assert "9 отменено" in message.inner_text()
    assert "Отклонено: 2. Отменить доставку уже нельзя: статус «В пути»." in message.inner_text()  # noqa: RUF001  # Cyrillic is meant
    assert message.get_by_role("link").count() >= 2
    assert Delivery.objects.filter(status="cancelled").count() == CHOSEN - 2


def print_labels(hand):
    """What leaves today is printed."""
    hand.errand("print")
    hand.page.add_init_script("window.print = () => { document.title = 'printed'; }")
    pages.go_to_list(hand.page)
    hand.link("К отправке сегодня")  # noqa: RUF001  # Cyrillic is meant
    ready = Delivery.objects.filter(status="created").count()
    assert hand.page.locator("main li").count() == ready
    assert hand.page.locator("svg.kd-code").count() == ready
    hand.click(hand.page.get_by_role("button", name="Распечатать"))
    assert hand.page.title() == "printed"


def export(hand):
    """The list of the last week goes to the accountant."""
    hand.errand("export")
    pages.go_to_list(hand.page)
    if not hand.page.get_by_role("link", name="Последние 7 дней").is_visible():
        hand.act(hand.page.locator("#changelist-filter-header, #changelist-filter summary").first)
    hand.link("Последние 7 дней")
    wanted = hand.page.get_by_role("link", name="Выгрузить в CSV")
    hand.reach(wanted)
    with hand.page.expect_download() as download:
        hand.click(wanted)
    written = io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))
    assert len(list(csv.reader(written, delimiter=";"))) == Delivery.objects.count() + 1


def send_the_link(hand, delivery):
    """A customer wants to follow her parcel: the link is copied into a message."""
    pages.go_to_list(hand.page)
    hand.page.goto(f"/admin/kaspi_delivery/delivery/{delivery.pk}/change/")
    hand.errand("link")
    link = hand.page.get_by_role("link", name="Ссылка для покупателя")
    hand.click(hand.page.locator(f"[data-kd-copy='{link.get_attribute('href')}']"))
    copied = hand.page.evaluate("navigator.clipboard.readText()")
    hand.page.goto(copied)
    assert hand.page.get_by_text("Создана").first.is_visible()


def replay(hand):
    """An event that could not be applied is replayed, now that the database is well again."""
    hand.errand("replay")
    pages.go_to_dashboard(hand.page)
    hand.press(hand.page.locator(".kd-needs").get_by_role("link").filter(has_text="не удалось применить"))
    hand.click(hand.page.locator(".action-select").first)
    choose_action(hand, "replay_events")
    hand.press(hand.page.get_by_role("button", name="Обработать повторно"))
    assert not WebhookEvent.objects.filter(state__in=WebhookEvent.DEAD_LETTERS).exists()


def read_the_silence(hand, fake_clock):
    """No webhook has come for three hours, and the dashboard says what to look at."""
    hand.errand("silence")
    fake_clock.advance(hours=3, minutes=10)
    pages.go_to_list(hand.page)
    hand.link("Сводка", exact=True)
    assert "Kaspi не присылает вебхуки уже 3 ч" in hand.page.locator(".kd-needs").inner_text()


def test_the_day(hand, refused, parcels, post_webhook, fake_clock):
    """From the first call to the last look at the dashboard."""
    order = Order.objects.get(pk=refused.pk)
    find(hand, order)
    correct(hand, order)
    cancel(hand, parcels, post_webhook)
    print_labels(hand)
    export(hand)
    send_the_link(hand, parcels[0])
    post_webhook(event(parcels[0], "in_transit", event_id="wh_failed"))
    rows.fail("wh_failed")
    replay(hand)
    read_the_silence(hand, fake_clock)
    assert hand.clicks == CLICKS
