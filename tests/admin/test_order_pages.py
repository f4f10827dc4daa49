"""What a shop puts on its own order pages: the order's deliveries, and a filter of its list."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.test import RequestFactory

from example_project.shop.models import Order as ExampleOrder
from kaspi_delivery_django.admin.orders import DeliveryInline, OrderAttentionFilter
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import cancel_delivery, reissue_delivery
from tests.shop.models import GiftOrder, Note, Order, ProxyOrder

pytestmark = pytest.mark.django_db(transaction=True)


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
    assert f'href="{change}do/cancel/"' in page


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
    assert "Kaspi deliveries" in page_of(admin_client, Note.objects.create())


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


def test_the_mixin_puts_the_filter_first():
    """Before the shop's own."""
    page, request = admin.site.get_model_admin(Order), RequestFactory().get("/")
    request.user = AnonymousUser()
    assert page.get_list_filter(request) == ()
    request.user = User(is_superuser=True)
    assert page.get_list_filter(request) == (OrderAttentionFilter,)


def test_a_site_without_our_pages_shows_no_links(booked):
    """The shop's own page must not break."""
    table = DeliveryInline(Order, admin.AdminSite("elsewhere"))
    assert table.timeline(booked) == "Timeline"
    assert table.cancel(booked) == ""
