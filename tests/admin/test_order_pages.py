"""What a shop puts on its own order pages: deliveries, and what can be done about them there and in bulk."""

import re
import uuid

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.contrib.messages import get_messages
from django.core.exceptions import SuspiciousOperation
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.html import escape, strip_tags

from example_project.shop.models import Order as ExampleOrder
from kaspi_delivery_django.admin import DeliveryAttentionMixin, DeliveryInline, OrderDeliveriesMixin
from kaspi_delivery_django.admin.confirmation import check_keys
from kaspi_delivery_django.admin.orders.lists import OrderAttentionFilter, OrderDeliveryFilter
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import bulk_actions, cancel_delivery, reissue_delivery, request_return
from tests.admin.conftest import LIST as DELIVERIES
from tests.admin.conftest import change_page, found, statements_of
from tests.keys.models import Named
from tests.shop import adapters
from tests.shop.models import AppOrder, GiftOrder, Line, Note, Order, ProxyOrder, Shipment

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/shop/order/"


@pytest.fixture
def use_adapters(configure):
    """Set the adapters by their paths below `tests.shop`."""
    return lambda *paths: configure(ORDER_ADAPTERS=[f"tests.shop.{path}" for path in paths])


@pytest.fixture
def splits_orders(use_adapters):
    """Ship the parcels of orders, not the orders."""
    use_adapters("switching.ShipmentAdapter")


def unsaved_by_signals(*rows):
    """Insert orders that no signal reports, as an import does."""
    return type(rows[0]).objects.bulk_create(rows)


def parcels(*numbers):
    """Insert an order with a parcel of each number, which no signal reports."""
    order = Order.objects.create()
    return order, Shipment.objects.bulk_create([Shipment(order=order, id=uuid.UUID(int=number)) for number in numbers])


def words(response):
    """Return the latest message of the page that follows, as text."""
    return strip_tags(str(["", *get_messages(response.wsgi_request)][-1]))


def chosen(client, name, *orders, url=LIST, **answers):
    """Choose orders and a bulk action; confirm it if there are answers. Return the last response."""
    first = client.post(url, {"action": name, "_selected_action": [order.pk for order in orders], "index": "0"})
    if not answers or first.status_code != 200:
        return first
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', first.content.decode()))
    return client.post(url, {**hidden, **answers})


def book_url(order):
    """Return the address that books a courier for an order."""
    return f"/admin/shop/{order._meta.model_name}/{order.pk}/book-courier/"


def column_of(client):
    """Return the cells of the column in the order list."""
    return re.findall(r'<td class="field-kaspi_delivery_status">(.*?)</td>', client.get(LIST).content.decode())


def page_with(*mixins, site=admin.site, **values):
    """Return a shop's own page of orders."""
    return type("OrderAdmin", (*mixins, admin.ModelAdmin), values)(Order, site)


# The table on the order's page


def test_the_order_shows_its_deliveries_and_what_can_be_done(admin_client, booked):
    """The buttons lead back to the order; what cannot be cancelled has none, and what is over is booked again."""
    order = Order.objects.get()
    page, change = change_page(admin_client, order), f"{DELIVERIES}{booked.pk}/"
    back = f"?back=%2Fadmin%2Fshop%2Forder%2F{order.pk}%2Fchange%2F"
    assert "Created" in page
    assert f'href="{change}change/"' in page
    assert f'href="{change}do/cancel/{back}"' in page
    Delivery.objects.update(status="in_transit")
    assert "do/cancel/" not in change_page(admin_client, order)
    Delivery.objects.update(status="cancelled")
    page = change_page(admin_client, order)
    assert "Book a courier again" in page
    assert f"{change}do/reissue/{back}" in page


def test_buttons_and_deliveries_need_their_permissions(staff, booked):
    """The order's page is the shop's own."""
    client, order = staff("view_order"), Order.objects.get()
    page = change_page(client, order)
    assert ("Created" in page, "do/cancel/" in page) == (True, False)
    User.objects.get().user_permissions.remove(Permission.objects.get(codename="view_delivery"))
    listed = client.get(LIST).content.decode()
    assert not [text for text in ("kaspi_delivery_status", "kaspi_delivery=") if text in listed]
    assert "Created" not in change_page(client, order)


def test_an_action_of_a_delivery_leads_back_to_the_order(admin_client, booked):
    """And to no other site."""
    cancel, back = f"{DELIVERIES}{booked.pk}/do/cancel/", "/admin/shop/order/1/change/"
    assert f'href="{back}" class="closelink"' in admin_client.get(cancel, {"back": back}).content.decode()
    assert admin_client.post(f"{cancel}?back={back}", {"reason": "x"}).url == back
    own = admin_client.post(f"{cancel}?back=https://example.com/", {"reason": "x"}).url
    assert own == f"{DELIVERIES}{booked.pk}/change/"


def test_a_held_delivery_is_sent_from_the_order(admin_client, due, drain):
    """The adapter does not want it."""
    Order.objects.update(paid=False)
    drain()
    assert "do/send/?back=" in change_page(admin_client, Order.objects.get())


def test_a_proxy_and_a_child_show_the_models_deliveries(admin_client, drain):
    """They are the same order under another name; one that is only being made has no table."""
    for model in (ProxyOrder, GiftOrder):
        order = model.objects.create()
        drain()
        assert "Created" in change_page(admin_client, order)
    assert "Kaspi deliveries" not in admin_client.get(f"{LIST}add/").content.decode()


def test_a_model_without_an_adapter_has_an_empty_table(admin_client):
    """No error, no button, no row behind the filter; its page says why nothing is booked."""
    note = Note.objects.create()
    page = change_page(admin_client, note)
    assert "Kaspi deliveries" in page
    assert "No courier is booked yet." in page
    assert "book-courier" not in page
    assert "No adapter" in words(admin_client.get(book_url(note)))
    answer = admin_client.get("/admin/shop/note/", {"kaspi_delivery": "attention"})
    assert not answer.context["cl"].result_list


def test_nothing_that_is_posted_for_the_table_is_read(admin_client, kaspi):
    """The shop's own tests post its order page without it; a forged row changes nothing."""
    order = ExampleOrder.objects.create(customer_name="A", phone="+7 727 111 0000", address="Abay 1", paid=True)
    name = "kaspi_delivery-delivery-content_type-object_id"
    forged = {f"{name}-TOTAL_FORMS": "1", f"{name}-INITIAL_FORMS": "0", f"{name}-0-status": "delivered"}
    data = {"customer_name": "B", "phone": order.phone, "address": "Abay 2", "paid": "on", **forged}
    lines = {f"lines-{key}_FORMS": value for key, value in (("TOTAL", "0"), ("INITIAL", "0"))}
    notices = {f"notices-{key}_FORMS": "0" for key in ("TOTAL", "INITIAL")}
    before = list(Delivery.objects.values())
    admin_client.post(f"/admin/example_shop/order/{order.pk}/change/", {**data, **lines, **notices})
    assert list(Delivery.objects.values()) == before


def test_a_site_without_our_pages_shows_no_links(booked, rf, admin_user):
    """The shop's own page must not break."""
    site, request = admin.AdminSite("elsewhere"), rf.get("/")
    table, request.user = DeliveryInline(Order, site), admin_user
    table.get_formset(request, Order.objects.get())
    assert table.timeline(booked) == "Timeline"
    assert table.buttons(booked) == ""
    page = page_with(OrderDeliveriesMixin, site=site)
    assert "kaspi_cancel" not in page.get_actions(request)
    assert "Created" in page.kaspi_delivery_status(Order.objects.get())


# The column and the filters


def test_the_newest_delivery_comes_first(admin_client, booked, drain):
    """In the table, and alone in the column: with its status, a link, and why it needs attention."""
    cancel_delivery(booked, reason="x")
    drain()
    newest = reissue_delivery(Delivery.objects.get())
    Delivery.objects.filter(pk=newest.pk).update(attention="too_old")
    unsaved_by_signals(Order())
    page = change_page(admin_client, Order.objects.get(pk=booked.object_id))
    assert page.index(f"{newest.pk}/change/") < page.index("kd-ended")
    cells = column_of(admin_client)
    [cell] = [cell for cell in cells if "/delivery/" in cell]
    assert len(cells) == 2
    assert f"/delivery/{newest.pk}/" in cell
    assert "Not booked yet" in cell
    assert "kd-bad" in cell


def test_the_filter_keeps_orders_by_attention_and_by_the_status_of_the_newest_delivery(admin_client, booked, drain):
    """One that was cancelled and booked again is no longer cancelled."""
    cancelled = Order.objects.create()
    drain()
    for delivery in Delivery.objects.all():
        cancel_delivery(delivery, reason="x")
    drain()
    reissue_delivery(booked)
    Delivery.objects.filter(object_id=str(cancelled.pk)).update(attention="too_old")
    assert found(admin_client, LIST, kaspi_delivery="attention") == [cancelled]
    assert found(admin_client, LIST, kaspi_delivery="cancelled") == [cancelled]
    assert [order.pk for order in found(admin_client, LIST, kaspi_delivery="not_booked")] == [int(booked.object_id)]
    assert len(found(admin_client, LIST, kaspi_delivery="no such status")) == 2
    page = admin_client.get(LIST, {"_facets": "True"}).content.decode()  # which are on in a shop's own list
    assert "Cancelled (1)" in page
    assert "Delivered (0)" in page


def test_a_key_of_another_type_is_left_out(admin_client, booked):
    """The shop has changed its key since."""
    for key in ("not-a-number", "9" * 30):
        Delivery.objects.update(attention="too_old", object_id=key)
        assert found(admin_client, LIST, kaspi_delivery="attention") == []


def test_keys_that_engines_store_differently_are_found(admin_client, use_adapters, drain):
    """A UUID has no one text on all engines; orders with such keys are booked in bulk too."""
    use_adapters("adapters.AppOrderAdapter", "adapters.OrderAdapter")
    order = AppOrder.objects.create()
    drain()
    page = admin_client.get("/admin/shop/apporder/", {"kaspi_delivery": "created"})
    assert list(page.context["cl"].result_list) == [order]
    assert "Created" in re.search(r'<td class="field-kaspi_delivery_status">(.*?)</td>', page.content.decode())[1]
    assert "/book-courier/" not in change_page(admin_client, order)
    orders = unsaved_by_signals(AppOrder(), AppOrder())
    chosen(admin_client, "kaspi_book", *orders, url="/admin/shop/apporder/", apply="1")
    keys = {str(one.pk) for one in (order, *orders)}
    assert set(Delivery.objects.values_list("object_id", flat=True)) == keys


def test_the_mixins_add_a_filter_and_a_column(rf):
    """The filter first, for users who can view deliveries; the column second, unless the shop has placed it."""
    request = rf.get("/")
    for mixin, offered in ((DeliveryAttentionMixin, OrderAttentionFilter), (OrderDeliveriesMixin, OrderDeliveryFilter)):
        page = page_with(mixin, list_filter=["paid"])
        request.user = AnonymousUser()
        assert list(page.get_list_filter(request)) == ["paid"]
        request.user = User(is_superuser=True)
        assert list(page.get_list_filter(request)) == [offered, "paid"]
    for own in (["id", "paid"], ["id", "kaspi_delivery_status", "paid"]):
        page = page_with(OrderDeliveriesMixin, list_display=own)
        assert list(page.get_list_display(request)) == ["id", "kaspi_delivery_status", "paid"]


def test_a_list_costs_the_same_whatever_its_rows(admin_client, kaspi, rf, admin_user):
    """One query reads the deliveries of them all, also in a list that can be edited."""
    Order.objects.create()
    found(admin_client, LIST)
    few = statements_of(lambda: found(admin_client, LIST))
    for _ in range(5):
        Order.objects.create()
    many = statements_of(lambda: found(admin_client, LIST))
    assert (len(many), len([sql for sql in many if "kaspi_delivery_delivery" in sql])) == (len(few), 1)
    page, request = page_with(OrderDeliveriesMixin, list_display=["id", "paid"], list_editable=["paid"]), rf.get("/")
    request.user, request._messages = admin_user, None
    with CaptureQueriesContext(connection) as seen:
        text = page.changelist_view(request).render().content.decode()
    assert "kd-badge" in text
    assert len([query for query in seen if 'FROM "kaspi_delivery_delivery"' in query["sql"].replace("`", '"')]) == 1


# One order: book a courier


def test_a_courier_is_booked_from_the_order(admin_client, drain):
    """It came by an import. The button confirms first; afterwards the order shows the delivery, and no button."""
    (order,) = unsaved_by_signals(Order())
    url = book_url(order)
    assert f'href="{url}"' in change_page(admin_client, order)
    assert "costs a delivery" in admin_client.get(url).content.decode()
    assert not Delivery.objects.exists()
    answer = admin_client.post(url)
    assert answer.url == f"{LIST}{order.pk}/change/"
    assert f"on its way to Kaspi: order-{order.pk}" in words(answer)
    drain()
    page = change_page(admin_client, order)
    assert ("Created" in page, url in page) == (True, False)
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Book a courier"]
    assert "has a delivery already" in words(admin_client.post(url))  # another user was faster
    assert Delivery.objects.count() == 1


def test_a_booking_that_is_sent_at_once_is_reported_as_it_ended(admin_client, kaspi, inline):
    """Kaspi answers before the page does."""
    good, bad = unsaved_by_signals(Order(), Order())
    assert f"a courier is booked: order-{good.pk}" in words(admin_client.post(book_url(good)))
    kaspi.faults.add(Fault(operation="create", status=422))
    assert "efused" in words(admin_client.post(book_url(bad)))


def test_an_unwanted_order_is_booked_only_when_that_is_ticked(admin_client, drain):
    """The page says that the shop does not want it sent."""
    order = Order.objects.create(paid=False)
    url = book_url(order)
    assert escape("the shop's adapter does not want it sent") in admin_client.get(url).content.decode()
    assert "This field is required" in admin_client.post(url).content.decode()
    assert not Delivery.objects.exists()
    admin_client.post(url, {"parcels": [f"anyway:{order.pk}"]})
    drain()
    assert Delivery.objects.get().status == "created"


def test_what_cannot_be_booked_says_why_and_leaves_the_order_alone(admin_client):
    """Before anything is confirmed, and again if the page was open meanwhile; in the reader's language."""
    unwanted, invalid = unsaved_by_signals(Order(cancelled=True), Order(phone="none"))
    for order, reason in ((unwanted, "wants it cancelled"), (invalid, "phone")):
        for send in (admin_client.get, admin_client.post):
            answer = send(book_url(order))
            assert answer.url == f"{LIST}{order.pk}/change/"
            assert reason in words(answer)
    with translation.override("ru"):
        in_russian = words(admin_client.get(book_url(invalid)))
    assert ("must look like" in in_russian, "dropoff.contact.phone" in in_russian) == (False, True)
    assert not Delivery.objects.exists()


def test_booking_needs_its_permission_and_the_orders(staff, monkeypatch):
    """Other users have no button and no page; nor is there one of an order that the shop's page hides."""
    (order,) = unsaved_by_signals(Order())
    url = book_url(order)
    assert url not in change_page(staff("view_order"), order)
    assert staff("view_order").get(url).status_code == 403
    assert staff("reissue_delivery").get(url).status_code == 403
    client = staff("view_order", "reissue_delivery")
    assert [client.get(one).status_code for one in (url, f"{LIST}0/book-courier/")] == [200, 404]
    monkeypatch.setattr(admin.site.get_model_admin(Order), "get_queryset", lambda _request: Order.objects.none())
    assert client.get(url).status_code == 404


# Several orders


def test_several_orders_are_booked_and_the_rest_is_explained(admin_client, booked, drain):
    """One has a delivery, one is not wanted, one lacks a phone: none of them is touched."""
    able = unsaved_by_signals(Order(), Order(), Order(paid=False), Order(phone="none"))
    orders = [*able, Order.objects.get(pk=booked.object_id)]
    question = chosen(admin_client, "kaspi_book", *orders).content.decode()
    assert "2 couriers are asked of Kaspi." in question
    assert question.count("is left alone.") == 3
    answer = chosen(admin_client, "kaspi_book", *orders, apply="1")
    assert "2 bookings are on their way to Kaspi." in words(answer)
    drain()
    assert set(Delivery.objects.values_list("object_id", flat=True)) == {str(order.pk) for order in able[:2]} | {
        booked.object_id
    }


def test_an_order_that_is_no_longer_wanted_is_not_booked(admin_client):
    """It was refunded after the confirmation page was read."""
    (order,) = unsaved_by_signals(Order(paid=False))
    confirmed = {"action": "kaspi_book", "_selected_action": [order.pk], "apply": "1", "asked_about": str(order.pk)}
    assert "does not want it sent" in words(admin_client.post(LIST, {**confirmed, "index": "0"}))
    assert not Delivery.objects.exists()


def test_only_newest_deliveries_are_cancelled(admin_client, booked, drain):
    """For one reason; an order without a delivery is not among the rows."""
    cancel_delivery(booked, reason="first")
    drain()
    newest, other = reissue_delivery(booked), Order.objects.create()
    (unbooked,) = unsaved_by_signals(Order())
    drain()
    orders = [Order.objects.get(pk=booked.object_id), other, unbooked]
    assert "Selected: 2" in chosen(admin_client, "kaspi_cancel", *orders).content.decode()
    answer = chosen(admin_client, "kaspi_cancel", *orders, reason="closed early")
    assert answer.url == LIST
    drain()
    reasons = dict(Delivery.objects.values_list("pk", "cancel_reason"))
    assert (reasons.pop(booked.pk), newest.pk in reasons) == ("first", True)
    assert set(reasons.values()) == {"closed early"}
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}
    assert "no selected order has a delivery" in words(chosen(admin_client, "kaspi_cancel", unbooked))


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


def test_a_delivery_of_another_model_is_left_alone(admin_client, use_adapters, drain):
    """Its order has the key of one that the page shows."""
    use_adapters("adapters.OrderAdapter", "adapters.LineAdapter")
    order = Order.objects.create()
    line = Line.objects.create(pk=order.pk, order=order, title="almaty")
    drain()
    other = Delivery.objects.get(content_type__model="line")
    assert other.object_id == str(line.pk) == str(order.pk)
    answer = chosen(admin_client, "kaspi_cancel", order, asked_about=str(other.pk), reason="x")
    assert "The row is gone" in words(answer)
    assert not Delivery.objects.exclude(cancel_requested_at=None).exists()


def test_a_return_is_not_rebooked_here(admin_client, booked):
    """The page asks about deliveries only, and rebooking a return has a permission of its own."""
    Delivery.objects.update(status="delivered")
    back = request_return(booked)
    Delivery.objects.filter(pk=back.pk).update(status="cancelled")
    answer = chosen(admin_client, "kaspi_book_again", booked.order, asked_about=str(back.pk), number="1")
    assert "The row is gone" in words(answer)
    assert Delivery.objects.count() == 2


def test_a_key_may_have_a_comma():
    """Each chosen row is read by itself."""
    check_keys(Named, ["A-17,1", "A_2C"])
    with pytest.raises(SuspiciousOperation):
        check_keys(Order, ["1,2"])


def test_too_many_orders_are_refused_as_a_whole(admin_client, monkeypatch):
    """Each is read by the adapter; where there is no time for that, orders are left alone."""
    orders = unsaved_by_signals(Order(), Order())
    monkeypatch.setattr(bulk_actions, "REQUEST_S", -1)
    question = chosen(admin_client, "kaspi_book", *orders).content.decode()
    assert "2 are left alone. There was no time for all of them" in question
    monkeypatch.setattr(bulk_actions, "ROWS_PER_REQUEST", 1)
    for name in ("kaspi_book", "kaspi_book_again"):
        assert "more than 1 rows" in words(chosen(admin_client, name, *orders))


def test_forged_orders_are_refused(admin_client, staff, booked):
    """With 400, not with a traceback; a forged action without its permission does nothing."""
    for key in ("x", "0x1", "9" * 30, "1,2"):
        data = {"action": "kaspi_cancel", "_selected_action": key, "index": "0"}
        assert admin_client.post(LIST, data).status_code == 400
    forged = {"action": "kaspi_cancel", "apply": "1", "reason": "x", "select_across": "1"}
    staff("view_order").post(LIST, {**forged, "asked_about": str(booked.pk), "_selected_action": "1"})
    assert not Delivery.objects.exclude(cancel_requested_at=None).exists()


def test_bulk_actions_are_offered_to_users_with_the_permission(staff, rf):
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


# Orders whose parcels are shipped


def test_an_order_shows_the_deliveries_of_its_parcels(admin_client, splits_orders, drain):
    """And those of no other order; they are read at once."""
    order = Order.objects.create()
    mine = [Shipment.objects.create(order=own) for own in (order, order, Order.objects.create())]
    drain()
    page = change_page(admin_client, order)
    assert [f"shipment-{parcel.pk}" in page for parcel in mine] == [True, True, False]
    assert "book-courier" not in page
    assert sorted(cell.count("Created") for cell in column_of(admin_client)) == [1, 2]
    assert found(admin_client, LIST, kaspi_delivery="created") == list(Order.objects.order_by("-pk"))
    Delivery.objects.filter(object_id=str(mine[0].pk)).update(attention="too_old")
    assert found(admin_client, LIST, kaspi_delivery="attention") == [order]
    few = statements_of(lambda: change_page(admin_client, order))
    for _ in range(3):
        Shipment.objects.create(order=order)
    drain()
    assert len(statements_of(lambda: change_page(admin_client, order))) == len(few)


def test_couriers_are_booked_for_the_chosen_parcels(admin_client, splits_orders):
    """Those that the adapter wants are ticked; the choice counts."""
    order, mine = parcels(1, 2, 3)
    url = book_url(order)
    assert f'href="{url}"' in change_page(admin_client, order)
    assert admin_client.get(url).content.decode().count("checked") == 3
    answer = admin_client.post(url, {"parcels": [str(mine[0].pk), str(mine[2].pk)]})
    assert "on its way" in words(answer)
    assert set(Delivery.objects.values_list("object_id", flat=True)) == {str(mine[0].pk), str(mine[2].pk)}


def test_the_adapter_is_overruled_only_by_staff_who_read_so(admin_client, splits_orders):
    """The order was refunded after the page was read: the page asks again, and says so."""
    order, mine = parcels(1, 2)
    url = book_url(order)
    Order.objects.update(paid=False)
    answer = admin_client.post(url, {"parcels": [str(parcel.pk) for parcel in mine]})
    assert escape("the shop's adapter does not want it sent") in answer.content.decode()
    assert not Delivery.objects.exists()
    admin_client.post(url, {"parcels": [f"anyway:{mine[0].pk}"]})
    assert list(Delivery.objects.values_list("object_id", flat=True)) == [str(mine[0].pk)]


def test_one_parcel_that_cannot_be_sent_stops_no_other(admin_client, splits_orders, monkeypatch):
    """The page names it, and why."""
    order, mine = parcels(1, 2)
    build, errors = adapters.OrderAdapter.build_request, [TypeError()]

    def fails_once(self, row):
        if errors:
            raise errors.pop()
        return build(self, row)

    monkeypatch.setattr(adapters.OrderAdapter, "build_request", fails_once)
    page = admin_client.get(book_url(order)).content.decode()
    assert f"{escape(str(mine[0]))}: The shop&#x27;s adapter failed: TypeError" in page
    assert f'value="{mine[1].pk}"' in page


def test_the_couriers_of_several_orders_are_counted(admin_client, splits_orders):
    """Not the orders: what was confirmed is what is done."""
    orders = [parcels(1, 2)[0], parcels(3)[0]]
    assert "3 couriers are asked of Kaspi." in chosen(admin_client, "kaspi_book", *orders).content.decode()
    assert "3 bookings are on their way to Kaspi." in words(chosen(admin_client, "kaspi_book", *orders, apply="1"))
    assert Delivery.objects.count() == 3


def test_a_return_stands_beside_the_first_delivery(admin_client, booked, drain):
    """In the table and in the column of the list; the list's cancel and filters are about the delivery alone."""
    order = Order.objects.get()
    Delivery.objects.update(status="delivered")
    assert "Book a return" in change_page(admin_client, order)
    back = request_return(booked)
    drain()
    page = change_page(admin_client, order)
    assert (page.count("Timeline</a>"), "Book a return" in page, page.count("↩")) == (2, False, 1)
    Delivery.objects.filter(pk=back.pk).update(attention="refused")
    [cell] = column_of(admin_client)
    assert all(text in cell for text in ("✓", "↩", "Kaspi refused the request"))
    assert found(admin_client, LIST, kaspi_delivery="delivered") == [order]
    assert found(admin_client, LIST, kaspi_delivery="created") == []
    chosen(admin_client, "kaspi_cancel", order, reason="no")
    back.refresh_from_db()
    assert back.cancel_requested_at is None


def test_an_order_in_several_parcels_shows_the_least_advanced(admin_client, use_adapters, drain):
    """In the column, with their number and whatever needs attention; the table has a row for each by its key."""
    use_adapters("adapters.WarehousesAdapter")
    with transaction.atomic():
        order = Order.objects.create()
        Line.objects.bulk_create(Line(order=order, title=key) for key in ("almaty", "taraz"))
    drain()
    drain()
    Delivery.objects.filter(parcel="almaty").update(status="in_transit")
    Delivery.objects.filter(parcel="taraz").update(attention="order_edited")
    [cell] = column_of(admin_client)
    shown = [words in cell for words in ("Created", "In transit", "2 parcels", "was edited")]
    assert shown == [True, False, True, True]
    page = change_page(admin_client, order)
    assert (page.count("Timeline</a>"), ">almaty<" in page, ">taraz<" in page) == (2, True, True)
    Delivery.objects.update(status="created")
    chosen(admin_client, "kaspi_cancel", order, reason="no")
    drain()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}
