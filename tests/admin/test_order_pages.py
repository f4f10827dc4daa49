"""What a shop puts on its own order pages: the order's deliveries, and a filter of its list."""

import pytest
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import User
from django.test import RequestFactory

from example_project.shop.models import Order as ExampleOrder
from kaspi_delivery_django.admin import DeliveryAttentionMixin, DeliveryInline
from kaspi_delivery_django.admin.orders import OrderAttentionFilter
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import cancel_delivery, reissue_delivery
from tests.shop.models import GiftOrder, Note, Order, ProxyOrder

pytestmark = pytest.mark.django_db(transaction=True)


class OrderAdmin(DeliveryAttentionMixin, ModelAdmin):
    """A shop's own page."""

    inlines = [DeliveryInline]


@pytest.fixture
def site():
    """Return an admin site with the test shop's orders and our own pages."""
    mine = AdminSite()
    for model in (Order, ProxyOrder, GiftOrder, Note):
        mine.register(model, OrderAdmin)
    return mine


def request_of(user, method="get", data=None):
    """Return a request of this person."""
    request = getattr(RequestFactory(), method)("/", data or {})
    request.user = user
    request._dont_enforce_csrf_checks = True
    return request


def page_of(site, order, user, model=Order):
    """Return the order's page as text."""
    site._registry[model].admin_site = site
    answer = site._registry[model].change_view(request_of(user), str(order.pk))
    return answer.render().content.decode()


@pytest.fixture
def boss(staff, booked):
    """Return a superuser."""
    return User.objects.create_superuser("boss", "boss@example.kz", "x")


def test_the_order_shows_its_deliveries(site, boss, booked):
    """With status, timeline and the way to cancel."""
    page = page_of(site, Order.objects.get(), boss)
    change = f"/admin/kaspi_delivery/delivery/{booked.pk}/"
    assert "Created" in page
    assert f'href="{change}change/"' in page
    assert f'href="{change}do/cancel/"' in page


def test_what_cannot_be_cancelled_has_no_button(site, boss, booked):
    """It is on the road."""
    Delivery.objects.update(status="in_transit")
    assert "do/cancel/" not in page_of(site, Order.objects.get(), boss)


def test_who_may_not_cancel_has_no_button_and_who_may_not_look_sees_nothing(site, booked):
    """Each permission for itself."""
    clerk = User.objects.create_user("clerk", password="x", is_staff=True)
    clerk.user_permissions.set(permissions("view_order", "view_delivery"))
    page = page_of(site, Order.objects.get(), clerk)
    assert "Created" in page
    assert "do/cancel/" not in page
    clerk = User.objects.create_user("other", password="x", is_staff=True)
    clerk.user_permissions.set(permissions("view_order"))
    assert "Created" not in page_of(site, Order.objects.get(), clerk)


def permissions(*codenames):
    """Return permissions of any app."""
    from django.contrib.auth.models import Permission  # noqa: PLC0415  # apps must be loaded

    return Permission.objects.filter(codename__in=codenames)


@pytest.mark.parametrize("model", [ProxyOrder, GiftOrder])
def test_a_proxy_and_a_child_show_the_models_deliveries(site, boss, drain, model):
    """They are the same order under another name."""
    order = model.objects.create()
    drain()
    assert "Created" in page_of(site, order, boss, model)


def test_a_second_generation_comes_first(site, boss, booked, drain):
    """The newest is what matters."""
    cancel_delivery(booked, reason="x")
    drain()
    reissue_delivery(Delivery.objects.get())
    drain()
    page = page_of(site, Order.objects.get(), boss)
    assert page.index(f"{booked.external_order_id}-2") < page.index("Cancelled")


def test_a_model_without_an_adapter_has_an_empty_table(site, boss):
    """And no error."""
    assert page_of(site, Note.objects.create(), boss, Note)


def test_a_new_order_has_no_table(site, boss):
    """There is nothing to show."""
    assert "Kaspi deliveries" not in site._registry[Order].add_view(request_of(boss)).render().content.decode()


def test_nothing_that_is_posted_for_the_table_is_read(admin_client, world):
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


def filtered(site, boss, queryset, value):
    """Return what the filter keeps."""
    model_admin = site._registry[Order]
    request = request_of(boss)
    params = {"kaspi_delivery": [value]} if value else {}
    return list(OrderAttentionFilter(request, params, queryset.model, model_admin).queryset(request, queryset))


def test_the_filter_keeps_orders_whose_delivery_needs_attention(site, boss, drain):
    """And no others."""
    other = Order.objects.create()
    drain()
    Delivery.objects.filter(object_id=str(other.pk)).update(attention="too_old")
    assert filtered(site, boss, Order.objects.all(), "attention") == [other]
    assert len(filtered(site, boss, Order.objects.all(), None)) == Order.objects.count()


def test_the_filter_of_a_model_without_an_adapter_keeps_nothing(site, boss):
    """No delivery is of such a row."""
    Note.objects.create()
    assert filtered(site, boss, Note.objects.all(), "attention") == []


def test_a_key_of_another_type_is_left_out(site, boss, booked):
    """The shop has changed its key since."""
    Delivery.objects.update(attention="too_old", object_id="not-a-number")
    assert filtered(site, boss, Order.objects.all(), "attention") == []


def test_the_mixin_puts_the_filter_first(site, boss):
    """Before the shop's own."""
    assert site._registry[Order].get_list_filter(request_of(boss)) == (OrderAttentionFilter,)
