"""Booking, and each action: the services, rules and words of the admin."""

from unittest.mock import create_autospec

import pytest
from django.utils import translation

from kaspi_delivery_django import services
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import request_return
from kaspi_delivery_django.services.deliveries import rules
from tests.api.conftest import LIST, address, problem
from tests.shop.models import AppOrder, Line, Order

pytestmark = pytest.mark.django_db


@pytest.fixture
def by_warehouse(configure, unbooked):
    """Return an order whose adapter sends it in two parcels."""
    configure(ORDER_ADAPTERS=["tests.shop.adapters.WarehousesAdapter"])
    Line.objects.bulk_create(Line(order=unbooked, title=key) for key in ("almaty", "shymkent"))
    return unbooked


def post(client, path, **body):
    return client.post(path, body, format="json")


def test_an_order_is_booked_once(api, unbooked, drain, kaspi):
    """By its primary key; the second request gets the delivery that there is."""
    first = post(api, LIST, order_id=str(unbooked.pk))
    second = post(api, LIST, order_id=str(unbooked.pk), model="shop.Order")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert first.json()["status"] == ""
    drain()
    assert len(kaspi.deliveries) == 1
    assert api.get(address(Delivery.objects.get())).json()["status"] == "created"


def test_an_order_is_found_by_its_number(api, unbooked, booked):
    """By the adapter for an order without a delivery, by its deliveries for others."""
    assert post(api, LIST, reference=f"order-{unbooked.pk}").status_code == 201
    Delivery.objects.filter(pk=booked.pk).update(external_order_id="erp-77", order_label="A-9", label_key="9")
    for reference in ("erp-77", "A-9"):
        answer = post(api, LIST, reference=reference)
        assert (answer.status_code, answer.json()["id"]) == (200, booked.pk)
    for reference in ("order-", "order-x", "order-999999999999999999999", "A-", "9", "nothing"):
        assert problem(post(api, LIST, reference=reference)) == (404, "order_not_found")


def test_a_personal_label_is_no_question_without_the_permission(program, booked):
    """The answer would be whether she has ordered."""
    label = "Order of Aigerim"
    Delivery.objects.filter(pk=booked.pk).update(
        order_label=label, label_key="order of aigerim", label_is_personal=True
    )
    assert problem(post(program("reissue_delivery"), LIST, reference=label)) == (404, "order_not_found")
    assert post(program("reissue_delivery", "view_personal_data"), LIST, reference=label).status_code == 200


def test_to_book_a_return_again_is_to_book_a_return(program, booked, drain):
    """And needs its permission, not that of rebooking."""
    Delivery.objects.filter(pk=booked.pk).update(status="delivered")
    back = request_return(booked)
    drain()
    Delivery.objects.filter(pk=back.pk).update(status="cancelled")
    assert problem(post(program("reissue_delivery"), address(back, "reissue"))) == (403, "permission_denied")
    assert post(program("return_delivery"), address(back, "reissue")).status_code == 201


def test_an_order_that_is_not_found_or_not_clear_is_refused(api, unbooked, configure):
    """By what the body has to name."""
    for order_id in ("999", "x", "999999999999999999999999999", "1.5", "-1"):
        assert problem(post(api, LIST, order_id=order_id)) == (404, "order_not_found")
    answer = post(api, LIST, order_id="1", model="shop.Note")
    assert problem(answer) == (400, "invalid_input")
    assert "Known: shop.Order" in str(answer.json()["errors"]["model"])
    for body in ({}, {"order_id": "1", "reference": "2"}, {"order": "1"}, {"order_id": "1", "model": "x" * 300}):
        assert problem(post(api, LIST, **body)) == (400, "invalid_input")
    configure(ORDER_ADAPTERS=["tests.shop.adapters.OrderAdapter", "tests.shop.adapters.AppOrderAdapter"])
    assert problem(post(api, LIST, order_id=str(unbooked.pk))) == (400, "invalid_input")
    app_order = AppOrder.objects.create(paid=False)
    answer = post(api, LIST, order_id=str(app_order.pk).upper(), model="shop.apporder", send_anyway=True)
    assert answer.status_code == 201
    assert answer.json()["order"] == {"model": "shop.AppOrder", "id": str(app_order.pk), "label": str(app_order)}


def test_an_order_in_several_parcels_is_booked_as_a_whole(api, by_warehouse, drain):
    """The answer is one delivery; the order lists them all, and each is cancelled by itself."""
    own = {"order_id": str(by_warehouse.pk), "model": "shop.Order"}
    first = post(api, LIST, **own)
    assert (first.status_code, first.json()["parcel_key"]) == (201, "")
    drain()
    drain()
    found = {row["parcel_key"]: row for row in api.get(LIST, own).json()["results"]}
    assert found.keys() == {"almaty", "shymkent"}
    assert found["almaty"]["id"] == first.json()["id"]
    assert found["shymkent"]["external_order_id"] == f"order-{by_warehouse.pk}-shymkent"
    again = post(api, LIST, **own)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert post(api, address(Delivery(pk=found["shymkent"]["id"]), "cancel"), reason="late").status_code == 202
    assert list(Delivery.objects.filter(cancel_requested_at=None).values_list("parcel", flat=True)) == ["almaty"]


def test_a_parcel_that_was_added_is_booked_by_name_of_its_order(api, by_warehouse, drain):
    """And a refusal is not taken for an order that is booked already."""
    own = {"order_id": str(by_warehouse.pk)}
    post(api, LIST, **own)
    drain()
    Line.objects.create(order=by_warehouse, title="added")
    Order.objects.update(paid=False)
    assert problem(post(api, LIST, **own)) == (409, "not_allowed")
    Order.objects.update(paid=True)
    answer = post(api, LIST, **own)
    assert (answer.status_code, answer.json()["parcel_key"]) == (201, "added")


def test_a_return_is_booked_once(api, booked, drain):
    """It names the delivery that it brings back; the second request gets the return that there is."""
    Delivery.objects.update(status="delivered")
    assert "return" in api.get(address(booked)).json()["allowed_actions"]
    first, second = post(api, address(booked, "return"), reason="too small"), post(api, address(booked, "return"))
    assert (first.status_code, second.status_code) == (201, 200)
    back = first.json()
    assert second.json()["id"] == back["id"] != booked.pk
    assert (back["is_return"], back["return_of"], back["return_reason"]) == (True, booked.pk, "too small")
    assert back["external_order_id"] == f"{booked.external_order_id}-return"
    drain()
    assert api.get(f"{LIST}{back['id']}/").json()["status"] == "created"
    there = api.get(address(booked)).json()
    assert (there["is_return"], there["return_of"]) == (False, None)
    assert there["refused_actions"]["return"].startswith("Its return is booked already")


def test_what_the_adapter_does_not_want_is_booked_only_if_that_is_overruled(api, kaspi):
    """And never what it wants cancelled."""
    order = Order.objects.create(paid=False)
    assert problem(post(api, LIST, order_id=str(order.pk))) == (409, "not_allowed")
    Order.objects.filter(pk=order.pk).update(cancelled=True)
    assert problem(post(api, LIST, order_id=str(order.pk), send_anyway=True)) == (409, "not_allowed")
    Order.objects.filter(pk=order.pk).update(cancelled=False)
    assert post(api, LIST, order_id=str(order.pk), send_anyway=True).status_code == 201


def test_a_rebooking_that_the_adapter_does_not_want_waits(api, refused, drain):
    """It is answered with 201 like any other, as docs/rest-api.md says."""
    Order.objects.update(paid=False)
    assert post(api, address(refused, "reissue")).status_code == 201
    drain()
    row = Delivery.objects.get(generation=2)
    assert (row.is_held, row.attention, row.status) == (True, "", "")


def test_a_cancel_is_accepted_and_followed(api, booked, drain):
    """The answer is the delivery as it is; a second cancel changes nothing."""
    for reason in ("out of stock", "once more"):
        answer = post(api, address(booked, "cancel"), reason=reason)
        document = answer.json()
        assert (answer.status_code, document["status"], document["cancel_reason"]) == (202, "created", "out of stock")
        assert document["cancel_requested_at"]
    assert ApiCall.objects.filter(kind="cancel").count() == 1
    drain()
    assert api.get(address(booked)).json()["status"] == "cancelled"


def test_the_last_slash_may_be_missing(api, booked, unbooked):
    """A redirect would lose what is posted."""
    assert api.get(LIST.rstrip("/")).status_code == 200
    assert api.get(address(booked).rstrip("/")).status_code == 200
    assert post(api, LIST.rstrip("/"), order_id=str(unbooked.pk)).status_code == 201
    assert post(api, address(booked, "cancel").rstrip("/"), reason="out of stock").status_code == 202


@pytest.mark.parametrize(
    ("action", "body", "call"),
    [
        ("refresh", {}, ("refresh_delivery", (), {})),
        ("retry", {}, ("retry_delivery", (), {})),
        ("send", {}, ("retry_delivery", (), {"send_anyway": True})),
        ("send-early", {}, ("retry_delivery", (), {"send_early": True})),
        ("link", {"delivery_id": "dlv_1"}, ("link_delivery", ("dlv_1",), {})),
        ("acknowledge", {}, ("acknowledge_delivery", (), {"confirmed_absent": False})),
        ("acknowledge", {"confirmed_absent": True}, ("acknowledge_delivery", (), {"confirmed_absent": True})),
        ("mark-final", {}, ("mark_final", (), {})),
        ("reissue", {}, ("reissue_delivery", (), {"confirmed_absent": False})),
        ("reissue", {"confirmed_absent": True}, ("reissue_delivery", (), {"confirmed_absent": True})),
    ],
)
def test_each_action_is_the_service_of_the_admins_button(api, booked, monkeypatch, action, body, call):
    """With what the body has; the answer is the delivery as it is."""
    service, arguments, options = call
    called = []
    real = create_autospec(getattr(services, service), side_effect=lambda *args, **kw: called.append((args, kw)))
    monkeypatch.setattr(services, service, real)
    answer = post(api, address(booked, action), **body)
    status = {"acknowledge": 200, "mark-final": 200, "reissue": 201}.get(action, 202)
    assert (answer.status_code, answer.json()["id"]) == (status, booked.pk)
    assert called == [((booked, *arguments), options)]


def test_a_refusal_has_the_rules_reason(api, booked):
    """The one that the representation names."""
    Delivery.objects.filter(pk=booked.pk).update(status="in_transit")
    shown = api.get(address(booked)).json()
    reasons = shown["refused_actions"]
    assert shown["allowed_actions"] == ["refresh"]
    bodies = {"cancel": {"reason": "late"}, "link": {"delivery_id": "dlv_1"}}
    assert set(reasons) == rules.PERMISSIONS.keys() - {"book", "refresh"}
    for action, reason in reasons.items():
        answer = post(api, address(booked, action.replace("_", "-")), **bodies.get(action, {}))
        assert problem(answer) == (409, "not_allowed")
        assert answer.json()["detail"] == reason


def test_a_refusal_is_in_the_language_of_the_request(api, booked, settings):
    """Staff read it in the program."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    with translation.override("en"):  # the middleware leaves its language active
        answer = api.post(address(booked, "retry"), HTTP_ACCEPT_LANGUAGE="ru")
    assert "Повторять нечего" in answer.json()["detail"]


def test_a_refused_booking_is_made_again(api, refused):
    """As staff do it, once: the first has a successor then."""
    assert post(api, address(refused, "reissue")).json()["generation"] == 2
    assert problem(post(api, address(refused, "reissue"))) == (409, "not_allowed")
    assert api.get(address(refused)).json()["refused_actions"]["reissue"] == "The order has a later delivery already."
    assert Delivery.objects.count() == 2


def test_a_delivery_that_was_never_wanted_goes(api, kaspi, configure):
    """A retry of one that its adapter failed on; there is nothing to show then."""
    configure(ORDER_ADAPTERS=["tests.shop.adapters.BrokenAdapter"])
    Order.objects.create(paid=False)
    configure(ORDER_ADAPTERS=["tests.shop.adapters.OrderAdapter"])
    row = Delivery.objects.get()
    answer = api.post(address(row, "retry"), headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.content) == (204, b"")
    again = api.post(address(row, "retry"), headers={"Idempotency-Key": "k"})
    assert (again.status_code, again["Idempotent-Replayed"]) == (204, "true")
    assert problem(api.post(address(row, "retry"))) == (404, "not_found")
