"""Who may do what, what is hidden from whom, and how often."""

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser
from django.test import override_settings
from rest_framework.permissions import AllowAny
from rest_framework.test import APIClient, APIRequestFactory

from kaspi_delivery_django.admin.actions import ACTIONS, actions_for
from kaspi_delivery_django.api.views import DeliveryViewSet
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services.deliveries import rules
from tests.api.conftest import ALL, LIST, address, problem
from tests.conftest import NOON

pytestmark = pytest.mark.django_db
NAMES = sorted(rules.PERMISSIONS.keys() - {"book"})
PERSONAL = ("cancel_reason", "return_reason", "pickup", "dropoff", "parcel")


def test_strangers_are_refused(booked):
    """Without credentials, and with wrong ones; the host's authentication says how."""
    client = APIClient()
    asked = [(client.get, address(booked)), *((client.post, address(booked, name.replace("_", "-"))) for name in NAMES)]
    for ask, path in [*asked, (client.post, LIST)]:
        answer = ask(path)
        assert problem(answer) == (401, "not_authenticated")
        assert answer["WWW-Authenticate"] == "Token"
        assert problem(ask(path, HTTP_AUTHORIZATION="Token wrong")) == (401, "authentication_failed")


def test_a_host_that_is_open_to_all_does_not_open_the_api(monkeypatch):
    """Not by its permissions, and not by having no authentication."""
    monkeypatch.setattr("rest_framework.views.APIView.permission_classes", [AllowAny])
    assert problem(APIClient().get(LIST)) == (401, "not_authenticated")
    view = DeliveryViewSet.as_view({"get": "list"}, authentication_classes=[])
    for user in (AnonymousUser, lambda: None):
        monkeypatch.setattr("rest_framework.settings.api_settings.UNAUTHENTICATED_USER", user)
        assert view(APIRequestFactory().get(LIST)).status_code == 403


def test_viewing_needs_its_permission(booked, program):
    """The other permissions are worth nothing without it."""
    blind = program(*ALL, views=False)
    for answer in (blind.get(LIST), blind.post(LIST), blind.get(address(booked))):
        assert problem(answer) == (403, "permission_denied")
        assert "kaspi_delivery.view_delivery" in answer.json()["detail"]


@pytest.mark.parametrize("action", [*NAMES, "book"])
def test_each_action_needs_the_permission_of_the_admins_button(booked, program, action):
    """No other permission stands in for it, and nothing is changed."""
    needed = "reissue_delivery" if action == "book" else ACTIONS[action].permission
    other = program(*(name for name in ALL if name != needed))
    before = Delivery.objects.values().get(pk=booked.pk)
    path = LIST if action == "book" else address(booked, action.replace("_", "-"))
    answer = other.post(path, {"junk": 1}, format="json")
    assert problem(answer) == (403, "permission_denied")
    assert f"kaspi_delivery.{needed}" in answer.json()["detail"]
    assert Delivery.objects.values().get(pk=booked.pk) == before


@pytest.mark.parametrize(
    ("attention", "call", "needed"),
    [
        ("outcome_unknown", {"state": "stuck", "unknown_since": NOON}, "reissue_delivery"),
        ("cancel_unknown", {"kind": "cancel", "state": "stuck", "reason": "cancel_unknown"}, "cancel_delivery"),
        ("order_edited", {"kind": "refresh"}, "retry_delivery"),
    ],
)
def test_abandoning_needs_what_it_needs_in_the_admin(booked, attention, call, needed):
    """A booking that Kaspi may have made, a cancel that could still be sent, and neither."""
    known_id = None if attention == "outcome_unknown" else booked.delivery_id
    Delivery.objects.update(attention=attention, delivery_id=known_id)
    booked.calls.update(**call)
    delivery = Delivery.objects.get()
    assert rules.permission_for("acknowledge", delivery) == needed
    for name, action in actions_for(delivery).items():
        assert rules.permission_for(name, delivery) == action.permission


def test_personal_data_is_hidden_without_its_permission(booked, program):
    """Contacts, addresses, the parcel, free texts, notes, and an order's name that may be the customer's."""
    Delivery.objects.update(
        cancel_reason="Aigerim asked", return_reason="Aigerim", order_label="Aigerim", label_is_personal=True
    )
    booked.history.update(note="Aigerim")
    assert program().get(address(booked)).json()["history"] is None
    found = program("view_statuschange").get(address(booked)).json()
    assert [found[name] for name in PERSONAL] == [None] * 5
    assert found["order"]["label"] is found["history"][0]["note"] is None
    assert "Aigerim" not in str(found)
    shown = program(*ALL).get(address(booked)).json()
    assert shown["dropoff"]["phone"]
    assert shown["order"]["label"] == shown["history"][0]["note"] == "Aigerim"
    assert shown["cancel_reason"] == "Aigerim asked"


def test_answers_stay_out_of_caches(booked, api):
    """A proxy keeps no customer."""
    for answer in (api.get(LIST), api.get(address(booked)), APIClient().get(LIST)):
        assert answer["Cache-Control"] == "private, no-store"


def test_a_search_by_personal_data_finds_nothing_without_its_permission(booked, program):
    """Or a program could guess a customer's number digit by digit."""
    tail = booked.dropoff_phone[-7:].replace(" ", "")
    assert program().get(LIST, {"search": tail}).json()["results"] == []
    assert len(program("view_personal_data").get(LIST, {"search": tail}).json()["results"]) == 1


def test_a_rate_of_our_scope_is_honoured(program):
    """For each user on its own; without a rate there is no limit."""
    first, second = program(name="erp"), program(name="1c")
    assert {first.get(LIST).status_code for _ in range(5)} == {200}
    rates = {"DEFAULT_THROTTLE_RATES": {"kaspi_delivery": "2/hour"}}
    with override_settings(REST_FRAMEWORK={**django_settings.REST_FRAMEWORK, **rates}):
        assert [first.get(LIST).status_code for _ in range(3)] == [200, 200, 429]
        answer = first.get(LIST)
        assert problem(answer) == (429, "throttled")
        assert int(answer["Retry-After"]) > 0
        assert second.get(LIST).status_code == 200
