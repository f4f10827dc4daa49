"""Programs with a token and chosen permissions."""

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from tests.shop.models import Order

LIST = "/kaspi/api/v1/deliveries/"
ALL = (
    "cancel_delivery",
    "reissue_delivery",
    "retry_delivery",
    "return_delivery",
    "view_personal_data",
    "view_statuschange",
)


def address(delivery, action=""):
    """Return the address of a delivery, or of one of its actions."""
    return f"{LIST}{delivery.pk}/{action}/" if action else f"{LIST}{delivery.pk}/"


@pytest.fixture
def program(db):
    """Return a client whose token's user has these permissions beside the one to view."""

    def made(*codenames, name="erp", views=True):
        user, _created = User.objects.get_or_create(username=name)
        names = [*codenames, *(["view_delivery"] if views else [])]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        token, _created = Token.objects.get_or_create(user=user)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
        return client

    return made


@pytest.fixture
def api(program):
    """Return a client with every permission that the API asks for."""
    return program(*ALL)


@pytest.fixture
def unbooked(kaspi):
    """Return an order that its adapter did not want when it was saved, and wants now."""
    order = Order.objects.create(paid=False)
    Order.objects.filter(pk=order.pk).update(paid=True)
    return order


def token_of(client):
    return client._credentials["HTTP_AUTHORIZATION"].removeprefix("Token ")


def problem(answer):
    """Return the status and the code of a problem, which has its media type and every member."""
    assert answer["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert {"type", "title", "status", "code", "detail"} <= document.keys()
    assert document["detail"]
    assert document["status"] == answer.status_code
    return document["status"], document["code"]
