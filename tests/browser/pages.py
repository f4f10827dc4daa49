"""Every page of ours, by the name that a test goes by."""

import os

from django.urls import reverse

from example_project.shop.models import Order, Product
from kaspi_delivery_django.models import (
    AccountState,
    ApiCall,
    Delivery,
    FailedAttempt,
    PendingAction,
    StatusChange,
    WebhookEvent,
)

THEME = os.environ.get("KASPI_THEME", "")
PLACES = {
    "unfold": "#content, .object-tools",
    "jazzmin": ".app-content",
}  # ours, without a theme's menus around it
FILTERS = {"jazzmin": "#change-list-filters"}
PLACE = PLACES.get(THEME, "body")
PLACE_OF = {
    "labels": "body",  # printed: no theme is around it
    "one order": ".kd-table",
    "list of orders": FILTERS.get(THEME, "#changelist-filter"),
}
MODELS = (Delivery, ApiCall, FailedAttempt, WebhookEvent, StatusChange, AccountState, PendingAction)
FIRST, LAST = "pk", "-pk"
ASKING = {  # what can be asked about one row, and about which: the first delivery of `rows.fill` was refused
    "cancel": (Delivery, LAST),
    "link": (Delivery, FIRST),
    "reissue": (Delivery, FIRST),
    "replay": (WebhookEvent, LAST),
    "dismiss": (PendingAction, LAST),
}
BULK = "ask about several"


def press(target):
    """Click what leads to another page, and wait for that."""
    with target.page.expect_navigation():
        target.click()


def opens(name, *args):
    """Return a function that opens a page of the admin."""
    return lambda page: page.goto(reverse(f"admin:{name}", args=args))


def opens_row(model, order=LAST, page_name="change", *args):
    """Return a function that opens a page of a table's last row, or of its first."""

    def go(page):
        row = model.objects.order_by(order).first()
        page.goto(reverse(f"admin:kaspi_delivery_{model._meta.model_name}_{page_name}", args=[row.pk, *args]))

    return go


def opens_list(model):
    """Return a function that opens the list of a table."""
    return opens(f"kaspi_delivery_{model._meta.model_name}_changelist")


def go_to_bulk_question(page):
    """Choose every delivery, and an action: the page that asks about several."""
    go_to_list(page)
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("cancel_deliveries")
    press(page.locator(".actions button"))


def go_to_refusal(page):
    """Confirm without a reason: the question comes back with an error."""
    OURS["ask to cancel"](page)
    page.locator("form[method=post] input[name=reason]").evaluate("field => field.required = false")
    press(page.locator(".submit-row input[type=submit]"))


def go_to_order(page):
    """Open the shop's page of the last order, with its deliveries."""
    opens("example_shop_order_change", Delivery.objects.latest("pk").object_id)(page)


def go_to_booking(page):
    """Open the page that books a courier for an order that is not paid yet."""
    order = Order.objects.filter(paid=False).first()
    if order is None:
        order = Order.objects.create(customer_name="Aliya", phone="+7 727 111 0001", address="Abay 1", paid=False)
        order.lines.create(product=Product.objects.first(), price_kzt=4900)
    opens("example_shop_order_kaspi_book", order.pk)(page)


go_to_dashboard, go_to_list = opens("kaspi_delivery_dashboard"), opens_list(Delivery)
OURS = {
    "dashboard": go_to_dashboard,
    "labels": opens("kaspi_delivery_labels"),
    "app": opens("app_list", "kaspi_delivery"),
    **{f"list of {model._meta.model_name}": opens_list(model) for model in MODELS},
    **{f"one {model._meta.model_name}": opens_row(model) for model in MODELS},
    "one delivery, refused": opens_row(Delivery, FIRST),  # nothing in it can be clicked
    "one apicall, refused": opens_row(ApiCall, FIRST),
    **{f"ask to {name}": opens_row(*which, "exit", name) for name, which in ASKING.items()},
    "ask again": go_to_refusal,
    BULK: go_to_bulk_question,
}
SHOPS = {
    "one order": go_to_order,
    "list of orders": opens("example_shop_order_changelist"),
    "ask to book": go_to_booking,
}
ALL = {**OURS, **SHOPS}


def overflow(page):
    """Return how many pixels of the page lie beyond the window's edge."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def find(page, look, *, names=tuple(ALL)):
    """Look at each of these pages; return what is found, by the page's name."""
    found = {}
    for name in names:
        ALL[name](page)
        if seen := look(name):
            found[name] = seen
    return found
