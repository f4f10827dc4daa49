"""What a shop puts on its own order pages: deliveries, and what can be done about them there and in bulk."""

import re
import uuid

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.html import escape

from example_project.shop.models import Order as ExampleOrder
from kaspi_delivery_django.admin import DeliveryAttentionMixin, DeliveryInline, OrderDeliveriesMixin
from kaspi_delivery_django.admin.orders import actions
from kaspi_delivery_django.admin.orders.filters import OrderAttentionFilter, OrderDeliveryFilter
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, reissue_delivery, request_return
from tests.shop import adapters
from tests.shop.models import AppOrder, GiftOrder, Line, Note, Order, ProxyOrder, Shipment

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/shop/order/"
SHIPMENTS = "tests.shop.switching.ShipmentAdapter"


@pytest.fixture
def splits_orders(settings):
    """Ship the parcels of orders, not the orders."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [SHIPMENTS]}


@pytest.fixture
def app_orders(settings):
    """Ship orders with UUIDs as keys too."""
    known = [f"tests.shop.adapters.{name}" for name in ("AppOrderAdapter", "OrderAdapter")]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": known}


def unsaved_by_signals(*rows):
    """Insert orders that no signal reports, as an import does."""
    return type(rows[0]).objects.bulk_create(rows)


def words(response):
    """Return the messages of the page that follows, as text."""
    return re.sub(r"<[^>]+>", "", " ".join(str(message) for message in get_messages(response.wsgi_request)))


def chosen(client, name, *orders, url=LIST, **answers):
    """Choose orders and a bulk action; answer its question if there are answers. Return the last response."""
    first = client.post(url, {"action": name, "_selected_action": [order.pk for order in orders], "index": "0"})
    if not answers or first.status_code != 200:
        return first
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', first.content.decode()))
    return client.post(url, {**hidden, **answers})


def page_of(client, order):
    """Return the order's page as text."""
    answer = client.get(f"/admin/shop/{order._meta.model_name}/{order.pk}/change/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_order_shows_its_deliveries(admin_client, booked):
    """With status, timeline and the way to cancel."""
    page = page_of(admin_client, Order.objects.get())
    change = f"/admin/kaspi_delivery/delivery/{booked.pk}/"
    assert "Created" in page
    assert f'href="{change}change/"' in page
    assert f'href="{change}do/cancel/?back=%2Fadmin%2Fshop%2Forder%2F{booked.object_id}%2Fchange%2F"' in page


def test_what_cannot_be_cancelled_has_no_button(admin_client, booked):
    """It is on the road."""
    Delivery.objects.update(status="in_transit")
    assert "do/cancel/" not in page_of(admin_client, Order.objects.get())


def test_who_may_not_cancel_has_no_button(staff, booked):
    """The rest is shown."""
    page = page_of(staff("view_order"), Order.objects.get())
    assert "Created" in page
    assert "do/cancel/" not in page


def test_who_may_not_see_deliveries_sees_none(staff, booked):
    """The order's page is the shop's own."""
    client = staff("view_order")
    staff_user = client.session["_auth_user_id"]
    User.objects.get(pk=staff_user).user_permissions.remove(Permission.objects.get(codename="view_delivery"))
    assert "Created" not in page_of(client, Order.objects.get())


@pytest.mark.parametrize("model", [ProxyOrder, GiftOrder])
def test_a_proxy_and_a_child_show_the_models_deliveries(admin_client, drain, model):
    """They are the same order under another name."""
    order = model.objects.create()
    drain()
    assert "Created" in page_of(admin_client, order)


def test_a_second_generation_comes_first(admin_client, booked, drain):
    """The newest is what matters."""
    cancel_delivery(booked, reason="x")
    drain()
    reissue_delivery(Delivery.objects.get())
    drain()
    page = page_of(admin_client, Order.objects.get())
    assert page.index(f"{booked.external_order_id}-2") < page.index("kd-ended")


def test_a_model_without_an_adapter_has_an_empty_table(admin_client):
    """And no error."""
    page = page_of(admin_client, Note.objects.create())
    assert "Kaspi deliveries" in page
    assert "No courier is booked yet." in page


def test_a_new_order_has_no_table(admin_client):
    """There is nothing to show."""
    assert "Kaspi deliveries" not in admin_client.get("/admin/shop/order/add/").content.decode()


def test_nothing_that_is_posted_for_the_table_is_read(admin_client, kaspi):
    """The shop's own tests post its order page without it; a forged row changes nothing."""
    order = ExampleOrder.objects.create(customer_name="A", phone="+7 727 111 0000", address="Abay 1", paid=True)
    name = "kaspi_delivery-delivery-content_type-object_id"
    forged = {f"{name}-TOTAL_FORMS": "1", f"{name}-INITIAL_FORMS": "0", f"{name}-0-status": "delivered"}
    data = {"customer_name": "B", "phone": order.phone, "address": "Abay 2", "paid": "on", **forged}
    lines = {f"lines-{key}_FORMS": value for key, value in (("TOTAL", "0"), ("INITIAL", "0"))}
    notices = {f"notices-{key}_FORMS": "0" for key in ("TOTAL", "INITIAL")}
    url = f"/admin/example_shop/order/{order.pk}/change/"
    before = list(Delivery.objects.values())
    admin_client.post(url, {**data, **lines, **notices})
    assert list(Delivery.objects.values()) == before


def kept(client, **query):
    """Return what the order list shows."""
    return list(client.get("/admin/shop/order/", query).context["cl"].result_list)


def test_the_filter_keeps_orders_whose_delivery_needs_attention(admin_client, booked, drain):
    """And no others."""
    other = Order.objects.create()
    drain()
    Delivery.objects.filter(object_id=str(other.pk)).update(attention="too_old")
    assert kept(admin_client, kaspi_delivery="attention") == [other]
    assert len(kept(admin_client)) == 2


def test_the_filter_of_a_model_without_an_adapter_keeps_nothing(admin_client):
    """No delivery is of such a row."""
    Note.objects.create()
    answer = admin_client.get("/admin/shop/note/", {"kaspi_delivery": "attention"})
    assert not answer.context["cl"].result_list


def test_a_key_of_another_type_is_left_out(admin_client, booked):
    """The shop has changed its key since."""
    Delivery.objects.update(attention="too_old", object_id="not-a-number")
    assert kept(admin_client, kaspi_delivery="attention") == []
    Delivery.objects.update(object_id="9" * 30)
    assert kept(admin_client, kaspi_delivery="attention") == []


@pytest.mark.parametrize(
    ("mixin", "offered"), [(DeliveryAttentionMixin, OrderAttentionFilter), (OrderDeliveriesMixin, OrderDeliveryFilter)]
)
def test_a_mixin_puts_the_filter_first(mixin, offered):
    """Before the shop's own, for those who may see deliveries."""
    page = type("OrderAdmin", (mixin, admin.ModelAdmin), {"list_filter": ["paid"]})(Order, admin.site)
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    assert list(page.get_list_filter(request)) == ["paid"]
    request.user = User(is_superuser=True)
    assert list(page.get_list_filter(request)) == [offered, "paid"]


def test_a_site_without_our_pages_shows_no_links(booked, rf, admin_user):
    """The shop's own page must not break."""
    site = admin.AdminSite("elsewhere")
    table, request = DeliveryInline(Order, site), rf.get("/")
    request.user = admin_user
    table.get_formset(request, Order.objects.get())
    assert table.timeline(booked) == "Timeline"
    assert table.buttons(booked) == ""
    page = type("OrderAdmin", (OrderDeliveriesMixin, admin.ModelAdmin), {})(Order, site)
    assert "kaspi_cancel" not in page.get_actions(request)
    assert "Created" in page.kaspi_delivery_status(Order.objects.get())


# The column and the filter by status


def test_the_list_shows_each_orders_newest_delivery(admin_client, booked, drain):
    """With its status, a link, and why it needs attention; nothing for an order without one."""
    cancel_delivery(booked, reason="x")
    drain()
    newest = reissue_delivery(Delivery.objects.get())
    Delivery.objects.filter(pk=newest.pk).update(attention="too_old")
    unsaved_by_signals(Order(pk=booked.pk + 1000))
    page = admin_client.get(LIST).content.decode()
    cells = re.findall(r'<td class="field-kaspi_delivery_status">(.*?)</td>', page)
    assert len(cells) == 2
    [cell] = [cell for cell in cells if "/delivery/" in cell]
    assert f"/delivery/{newest.pk}/" in cell
    assert "Not booked yet" in cell
    assert "kd-bad" in cell


def test_who_may_not_see_deliveries_has_no_column(staff, booked):
    """Nor the filter."""
    client = staff("view_order")
    User.objects.get(username="operator").user_permissions.remove(Permission.objects.get(codename="view_delivery"))
    page = client.get(LIST).content.decode()
    assert "kaspi_delivery_status" not in page
    assert "kaspi_delivery=" not in page


def test_the_shop_may_place_the_column(rf, admin_user):
    """It is added where it is missing, and is never there twice."""
    request = rf.get("/")
    request.user = admin_user
    for own, shown in (
        (["id", "paid"], ["id", "kaspi_delivery_status", "paid"]),
        (["kaspi_delivery_status", "id"], ["kaspi_delivery_status", "id"]),
    ):
        page = type("OrderAdmin", (OrderDeliveriesMixin, admin.ModelAdmin), {"list_display": own})(Order, admin.site)
        assert list(page.get_list_display(request)) == shown


def test_a_page_costs_the_same_whatever_its_rows(admin_client, kaspi):
    """One query reads the deliveries of them all."""

    def cost():
        with CaptureQueriesContext(connection) as seen:
            assert admin_client.get(LIST).status_code == 200
        return len(seen), [query["sql"] for query in seen if "kaspi_delivery_delivery" in query["sql"]]

    Order.objects.create()
    cost()
    few = cost()
    for _ in range(20):
        Order.objects.create()
    many = cost()
    assert many[0] == few[0]
    assert len(many[1]) == 1


def test_the_filter_keeps_orders_by_the_status_of_their_newest_delivery(admin_client, booked, drain):
    """One that was cancelled and booked again is no longer cancelled."""
    cancelled = Order.objects.create()
    drain()
    for delivery in Delivery.objects.all():
        cancel_delivery(delivery, reason="x")
    drain()
    reissue_delivery(booked)
    assert kept(admin_client, kaspi_delivery="cancelled") == [cancelled]
    assert [order.pk for order in kept(admin_client, kaspi_delivery="not_booked")] == [int(booked.object_id)]
    assert len(kept(admin_client, kaspi_delivery="no such status")) == 2


def test_the_filter_counts_its_choices_if_the_shop_has_them_counted(admin_client, booked):
    """Django's facets are on in a shop's own list."""
    page = admin_client.get(LIST, {"_facets": "True"}).content.decode()
    assert "Created (1)" in page
    assert "Delivered (0)" in page


def test_an_editable_list_reads_the_deliveries_once_too(rf, admin_user, booked):
    """Its forms have the rows that the list has read."""
    values = {"list_display": ["id", "paid"], "list_editable": ["paid"]}
    page = type("OrderAdmin", (OrderDeliveriesMixin, admin.ModelAdmin), values)(Order, admin.site)
    request = rf.get("/")
    request.user, request._messages = admin_user, None
    with CaptureQueriesContext(connection) as seen:
        text = page.changelist_view(request).render().content.decode()
    assert "kd-badge" in text
    assert len([query for query in seen if 'FROM "kaspi_delivery_delivery"' in query["sql"].replace("`", '"')]) == 1


def test_keys_that_engines_store_differently_are_found(admin_client, app_orders, kaspi, drain):
    """A UUID has no one text on all engines."""
    order = AppOrder.objects.create()
    drain()
    page = admin_client.get("/admin/shop/apporder/", {"kaspi_delivery": "created"})
    assert list(page.context["cl"].result_list) == [order]
    assert "Created" in re.search(r'<td class="field-kaspi_delivery_status">(.*?)</td>', page.content.decode())[1]
    assert "/book-courier/" not in page_of(admin_client, order)


# One order: book a courier


def test_a_courier_is_booked_from_the_order(admin_client, drain):
    """It came by an import. The button asks first; afterwards the order shows the delivery, and no button."""
    (order,) = unsaved_by_signals(Order(pk=7))
    url = "/admin/shop/order/7/book-courier/"
    assert f'href="{url}"' in page_of(admin_client, order)
    assert "costs a delivery" in admin_client.get(url).content.decode()
    assert not Delivery.objects.exists()
    answer = admin_client.post(url)
    assert answer.url == "/admin/shop/order/7/change/"
    assert "on its way to Kaspi: order-7" in words(answer)
    drain()
    page = page_of(admin_client, order)
    assert "Created" in page
    assert url not in page
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Book a courier"]


def test_a_booking_that_is_sent_at_once_is_reported_as_it_ended(admin_client, kaspi, settings):
    """Kaspi answers before the page does."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    unsaved_by_signals(Order(pk=7), Order(pk=8))
    assert "a courier is booked: order-7" in words(admin_client.post("/admin/shop/order/7/book-courier/"))
    kaspi.faults.add(Fault(operation="create", status=422))
    assert "efused" in words(admin_client.post("/admin/shop/order/8/book-courier/"))


def test_an_unwanted_order_is_booked_only_when_that_is_ticked(admin_client, drain):
    """The page says that the shop does not want it sent."""
    order = Order.objects.create(paid=False)
    url = f"/admin/shop/order/{order.pk}/book-courier/"
    assert escape("the shop's adapter does not want it sent") in admin_client.get(url).content.decode()
    assert "This field is required" in admin_client.post(url).content.decode()
    assert not Delivery.objects.exists()
    admin_client.post(url, {"parcels": [f"anyway:{order.pk}"]})
    drain()
    assert Delivery.objects.get().status == "created"


@pytest.mark.parametrize(
    ("values", "reason"), [({"cancelled": True}, "wants it cancelled"), ({"phone": "none"}, "phone")]
)
def test_what_cannot_be_booked_says_why_and_leaves_the_order_alone(admin_client, values, reason):
    """Before anything is asked, and again if the page was open meanwhile."""
    (order,) = unsaved_by_signals(Order(**values))
    url = f"/admin/shop/order/{order.pk}/book-courier/"
    for ask in (admin_client.get, admin_client.post):
        answer = ask(url)
        assert answer.url == f"/admin/shop/order/{order.pk}/change/"
        assert reason in words(answer)
    assert not Delivery.objects.exists()


def test_a_booked_order_is_not_booked_again_by_the_same_button(admin_client, booked):
    """Somebody else was faster."""
    answer = admin_client.post(f"/admin/shop/order/{booked.object_id}/book-courier/")
    assert "has a delivery already" in words(answer)
    assert Delivery.objects.count() == 1


def test_booking_needs_its_permission_and_the_orders(staff):
    """Who may not book has no button, and no page."""
    (order,) = unsaved_by_signals(Order())
    url = f"/admin/shop/order/{order.pk}/book-courier/"
    assert url not in page_of(staff("view_order"), order)
    assert staff("view_order").get(url).status_code == 403
    assert staff("reissue_delivery").get(url).status_code == 403
    assert staff("view_order", "reissue_delivery").get(url).status_code == 200
    assert staff("view_order", "reissue_delivery").get("/admin/shop/order/0/book-courier/").status_code == 404


def test_an_order_that_the_page_hides_from_the_user_is_not_booked(staff, monkeypatch):
    """The shop's page shows its own branch's orders alone."""
    page = admin.site.get_model_admin(Order)
    monkeypatch.setattr(page, "get_queryset", lambda _request: Order.objects.none())
    (order,) = unsaved_by_signals(Order())
    assert staff("view_order", "reissue_delivery").get(f"/admin/shop/order/{order.pk}/book-courier/").status_code == 404


@pytest.mark.parametrize("name", ["kaspi_cancel", "kaspi_book_again"])
def test_a_delivery_of_an_order_that_the_page_hides_is_left_alone(admin_client, booked, drain, monkeypatch, name):
    """Whatever keys the answer to the question names."""
    mine = Order.objects.create(address="Mine")
    drain()
    monkeypatch.setattr(admin.site.get_model_admin(Order), "get_queryset", lambda _r: Order.objects.filter(pk=mine.pk))
    Delivery.objects.update(status="cancelled" if name == "kaspi_book_again" else "created")
    before = list(Delivery.objects.order_by("pk").values_list("generation", "cancel_requested_at"))
    answer = chosen(admin_client, name, mine, asked_about=str(booked.pk), reason="x", number="1")
    assert "The row is gone" in words(answer)
    assert list(Delivery.objects.order_by("pk").values_list("generation", "cancel_requested_at")) == before


def test_a_model_without_an_adapter_has_no_button(admin_client):
    """And its page says why nothing is booked."""
    note = Note.objects.create()
    assert "book-courier" not in page_of(admin_client, note)
    answer = admin_client.get(f"/admin/shop/note/{note.pk}/book-courier/")
    assert "No adapter" in words(answer)


# One delivery: its actions lead back to the order


def test_an_action_of_a_delivery_leads_back_to_the_order(admin_client, booked):
    """And to no other site."""
    cancel, back = f"/admin/kaspi_delivery/delivery/{booked.pk}/do/cancel/", "/admin/shop/order/1/change/"
    assert f'href="{back}" class="closelink"' in admin_client.get(cancel, {"back": back}).content.decode()
    assert admin_client.post(f"{cancel}?back={back}", {"reason": "x"}).url == back
    own = admin_client.post(f"{cancel}?back=https://example.com/", {"reason": "x"}).url
    assert own == f"/admin/kaspi_delivery/delivery/{booked.pk}/change/"


def test_a_refused_delivery_is_booked_again_from_the_order(admin_client, booked):
    """The button leads to the page that has the name typed."""
    Delivery.objects.update(status="cancelled")
    page = page_of(admin_client, Order.objects.get())
    assert "Book a courier again" in page
    assert f"/delivery/{booked.pk}/do/reissue/?back=" in page


def test_a_held_delivery_is_sent_from_the_order(admin_client, due, drain):
    """The adapter does not want it."""
    Order.objects.update(paid=False)
    drain()
    assert "do/send/?back=" in page_of(admin_client, Order.objects.get())


# Several orders


def test_several_orders_are_booked_and_the_rest_is_explained(admin_client, booked, drain):
    """One has a delivery, one is not wanted, one lacks a phone: none of them is touched."""
    able = unsaved_by_signals(Order(pk=7000), Order(pk=7001), Order(pk=7002, paid=False), Order(pk=7003, phone="none"))
    orders = [*able, Order.objects.get(pk=booked.object_id)]
    question = chosen(admin_client, "kaspi_book", *orders).content.decode()
    assert "2 couriers are asked of Kaspi." in question
    assert question.count("is left alone.") == 3
    answer = chosen(admin_client, "kaspi_book", *orders, apply="1")
    assert "2 bookings are on their way to Kaspi." in words(answer)
    drain()
    assert set(Delivery.objects.values_list("object_id", flat=True)) == {"7000", "7001", booked.object_id}


def test_several_orders_with_keys_of_text_are_booked(admin_client, app_orders):
    """The question names UUIDs."""
    orders = unsaved_by_signals(AppOrder(), AppOrder())
    chosen(admin_client, "kaspi_book", *orders, url="/admin/shop/apporder/", apply="1")
    assert set(Delivery.objects.values_list("object_id", flat=True)) == {str(order.pk) for order in orders}


def test_several_orders_are_cancelled_for_one_reason(admin_client, booked, drain):
    """Those without a delivery are not among the rows."""
    other, (unbooked,) = Order.objects.create(), unsaved_by_signals(Order(pk=7000))
    drain()
    orders = [Order.objects.get(pk=booked.object_id), other, unbooked]
    assert "Selected: 2" in chosen(admin_client, "kaspi_cancel", *orders).content.decode()
    answer = chosen(admin_client, "kaspi_cancel", *orders, reason="closed early")
    assert answer.url == LIST
    drain()
    assert set(Delivery.objects.values_list("status", "cancel_reason")) == {("cancelled", "closed early")}


def test_only_newest_deliveries_are_cancelled(admin_client, booked, drain):
    """The first one was cancelled before."""
    cancel_delivery(booked, reason="first")
    drain()
    newest = reissue_delivery(booked)
    drain()
    chosen(admin_client, "kaspi_cancel", Order.objects.get(), reason="second")
    drain()
    assert dict(Delivery.objects.values_list("pk", "cancel_reason")) == {booked.pk: "first", newest.pk: "second"}


def test_several_orders_are_booked_again_when_their_number_is_typed(admin_client, booked, drain):
    """Kaspi may have booked one of them: it is left alone, whatever is typed."""
    for _ in range(2):
        Order.objects.create()
    drain()
    Delivery.objects.update(status="cancelled")
    doubtful = Order.objects.create()
    ApiCall.objects.filter(delivery__object_id=str(doubtful.pk)).update(state="stuck", unknown_since=booked.created_at)
    orders = list(Order.objects.all())
    question = chosen(admin_client, "kaspi_book_again", *orders).content.decode()
    assert "3 couriers are asked of Kaspi." in question
    assert "Kaspi may have booked it" in question
    assert "That is not the number" in chosen(admin_client, "kaspi_book_again", *orders, number="4").content.decode()
    assert not Delivery.objects.filter(generation=2).exists()
    chosen(admin_client, "kaspi_book_again", *orders, number="3")
    assert Delivery.objects.filter(generation=2).count() == 3


def test_too_many_orders_are_refused_as_a_whole(admin_client, kaspi, monkeypatch):
    """Each is read by the adapter; a bulk cancel may have more."""
    monkeypatch.setattr("kaspi_delivery_django.admin.orders.actions.ROWS_PER_REQUEST", 1)
    orders = unsaved_by_signals(Order(), Order())
    for name in ("kaspi_book", "kaspi_book_again"):
        assert "more than 1 rows" in words(chosen(admin_client, name, *orders))


def test_orders_without_deliveries_are_not_cancelled(admin_client):
    """There is nothing to ask about."""
    (order,) = unsaved_by_signals(Order())
    assert "no selected order has a delivery" in words(chosen(admin_client, "kaspi_cancel", order))


@pytest.mark.parametrize("key", ["x", "0x1", "9" * 30, "1,2"])
def test_forged_orders_are_refused(admin_client, booked, key):
    """With 400, not with a traceback; another action of the page is the shop's."""
    data = {"action": "kaspi_cancel", "_selected_action": key, "index": "0"}
    assert admin_client.post(LIST, data).status_code == 400


def test_bulk_actions_are_offered_to_those_who_may(staff, rf):
    """As on our own list."""
    page, request = admin.site.get_model_admin(Order), rf.get("/")
    offered = {"cancel_delivery": {"kaspi_cancel"}, "reissue_delivery": {"kaspi_book", "kaspi_book_again"}}
    for permission, names in offered.items():
        staff("view_order", permission)
        request.user = User.objects.get(username="operator")
        assert {name for name in page.get_actions(request) if name.startswith("kaspi_")} == names
    popup = rf.get("/", {"_popup": "1"})
    popup.user = User(is_superuser=True, is_active=True)
    assert page.get_actions(popup) == {}


def test_an_action_that_the_user_may_not_do_is_not_done(staff, booked):
    """The form is forged."""
    client = staff("view_order")
    forged = {
        "action": "kaspi_cancel",
        "apply": "1",
        "reason": "x",
        "asked_about": str(booked.pk),
        "select_across": "1",
    }
    client.post(LIST, {**forged, "_selected_action": "1"})
    assert not Delivery.objects.exclude(cancel_requested_at=None).exists()


# An order whose parcels are shipped


def parcels(count, **values):
    """Insert an order with so many parcels, which no signal reports."""
    order = Order.objects.create(**values)
    return order, Shipment.objects.bulk_create([Shipment(order=order, id=uuid.UUID(int=n + 1)) for n in range(count)])


def test_an_order_shows_the_deliveries_of_its_parcels(admin_client, splits_orders, drain):
    """And those of no other order."""
    order, _none = parcels(0)
    mine = [Shipment.objects.create(order=own) for own in (order, order, Order.objects.create())]
    drain()
    page = page_of(admin_client, order)
    assert [f"shipment-{parcel.pk}" in page for parcel in mine] == [True, True, False]
    assert "book-courier" not in page
    column = re.findall(r'<td class="field-kaspi_delivery_status">(.*?)</td>', admin_client.get(LIST).content.decode())
    assert sorted(cell.count("Created") for cell in column) == [1, 2]
    assert kept(admin_client, kaspi_delivery="created") == list(Order.objects.order_by("-pk"))
    Delivery.objects.filter(object_id=str(mine[0].pk)).update(attention="too_old")
    assert kept(admin_client, kaspi_delivery="attention") == [order]


def test_the_page_of_an_order_costs_the_same_for_many_parcels(admin_client, splits_orders, drain):
    """Their deliveries and calls are read at once."""

    def cost():
        with CaptureQueriesContext(connection) as seen:
            page_of(admin_client, order)
        return len(seen)

    order, _none = parcels(0)
    Shipment.objects.create(order=order)
    drain()
    cost()
    few = cost()
    for _ in range(5):
        Shipment.objects.create(order=order)
    drain()
    assert cost() == few


def test_couriers_are_booked_for_the_chosen_parcels(admin_client, splits_orders):
    """Those that the adapter wants are ticked; the choice counts."""
    order, mine = parcels(3)
    url = f"/admin/shop/order/{order.pk}/book-courier/"
    assert f'href="{url}"' in page_of(admin_client, order)
    assert admin_client.get(url).content.decode().count("checked") == 3
    answer = admin_client.post(url, {"parcels": [str(mine[0].pk), str(mine[2].pk)]})
    assert "on its way" in words(answer)
    assert set(Delivery.objects.values_list("object_id", flat=True)) == {str(mine[0].pk), str(mine[2].pk)}


def test_a_parcel_is_overruled_only_by_staff_who_were_told(admin_client, splits_orders, drain):
    """The order was refunded after the page was read: the page asks again, and says so."""
    order, mine = parcels(2)
    url = f"/admin/shop/order/{order.pk}/book-courier/"
    Order.objects.update(paid=False)
    answer = admin_client.post(url, {"parcels": [str(parcel.pk) for parcel in mine]})
    assert escape("the shop's adapter does not want it sent") in answer.content.decode()
    assert not Delivery.objects.exists()
    admin_client.post(url, {"parcels": [f"anyway:{mine[0].pk}"]})
    assert list(Delivery.objects.values_list("object_id", flat=True)) == [str(mine[0].pk)]


def test_the_couriers_of_several_orders_are_counted(admin_client, splits_orders):
    """Not the orders: what was asked is what was done."""
    order, _mine = parcels(2)
    other = Order.objects.create()
    Shipment.objects.bulk_create([Shipment(order=other), Shipment(order=other)])
    orders = [order, other]
    assert "4 couriers are asked of Kaspi." in chosen(admin_client, "kaspi_book", *orders).content.decode()
    assert "4 bookings are on their way to Kaspi." in words(chosen(admin_client, "kaspi_book", *orders, apply="1"))


def test_a_question_about_many_orders_ends_in_time(admin_client, monkeypatch):
    """Those that there was no time for are left alone."""
    monkeypatch.setattr(actions, "REQUEST_S", -1)
    question = chosen(admin_client, "kaspi_book", *unsaved_by_signals(Order(), Order())).content.decode()
    assert "2 are left alone. There was no time for all of them" in question


def test_an_error_of_ours_is_in_the_readers_language(admin_client):
    """Also inside the refusal of a booking."""
    (order,) = unsaved_by_signals(Order(phone="12"))
    with translation.override("ru"):
        answer = admin_client.get(f"/admin/shop/order/{order.pk}/book-courier/")
    assert "must look like" not in words(answer)
    assert "dropoff.contact.phone" in words(answer)


def test_one_parcel_that_cannot_be_sent_stops_no_other(admin_client, splits_orders, monkeypatch):
    """The page names it, and why."""
    order, mine = parcels(2)
    build = adapters.OrderAdapter.build_request
    seen = []

    def fails_once(self, row):
        seen.append(row)
        if len(seen) == 1:
            raise TypeError
        return build(self, row)

    monkeypatch.setattr(adapters.OrderAdapter, "build_request", fails_once)
    page = admin_client.get(f"/admin/shop/order/{order.pk}/book-courier/").content.decode()
    assert f"{escape(str(mine[0]))}: The shop&#x27;s adapter failed: TypeError" in page
    assert str(mine[1].pk) in page


def test_the_parcels_of_several_orders_are_booked(admin_client, splits_orders):
    """All that are wanted."""
    order, _mine = parcels(2)
    other = Order.objects.create()
    Shipment.objects.bulk_create([Shipment(order=other)])
    assert "3 couriers are asked of Kaspi." in chosen(admin_client, "kaspi_book", order, other).content.decode()
    chosen(admin_client, "kaspi_book", order, other, apply="1")
    assert Delivery.objects.count() == 3


def test_a_return_stands_beside_the_first_delivery(admin_client, booked, drain):
    """In the table and in the column of the list; the list's cancel and filters are about the delivery alone."""
    order = Order.objects.get()
    Delivery.objects.update(status="delivered")
    assert "Book a return" in page_of(admin_client, order)
    back = request_return(booked)
    drain()
    page = page_of(admin_client, order)
    assert (page.count("Timeline</a>"), "Book a return" in page, page.count("↩")) == (2, False, 1)
    Delivery.objects.filter(pk=back.pk).update(attention="refused")
    column = admin_client.get(LIST).content.decode().split("field-kaspi_delivery_status")[1]
    assert ("✓" in column, "↩" in column, "Kaspi refused the request" in column) == (True, True, True)
    assert "1 order" in admin_client.get(LIST, {"kaspi_delivery": "delivered"}).content.decode()
    assert "0 orders" in admin_client.get(LIST, {"kaspi_delivery": "created"}).content.decode()
    chosen(admin_client, "kaspi_cancel", order, reason="no")
    back.refresh_from_db()
    assert back.cancel_requested_at is None


def test_an_order_in_several_parcels_shows_the_least_advanced(admin_client, settings, kaspi, drain):
    """In the column, with their number and whatever needs attention; the table has a row for each by its key."""
    paths = ["tests.shop.adapters.WarehousesAdapter"]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": paths}
    with transaction.atomic():
        order = Order.objects.create()
        Line.objects.bulk_create(Line(order=order, title=key) for key in ("almaty", "taraz"))
    drain()
    drain()
    Delivery.objects.filter(parcel="almaty").update(status="in_transit")
    Delivery.objects.filter(parcel="taraz").update(attention="order_edited")
    column = admin_client.get(LIST).content.decode().split("field-kaspi_delivery_status")[1].split("</td>")[0]
    found = [words in column for words in ("Created", "In transit", "2 parcels", "was edited")]
    assert found == [True, False, True, True]
    page = page_of(admin_client, order)
    assert (page.count("Timeline</a>"), ">almaty<" in page, ">taraz<" in page) == (2, True, True)
    Delivery.objects.update(status="created")
    chosen(admin_client, "kaspi_cancel", order, reason="no")
    drain()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}
