"""`Idempotency-Key`: one effect and one answer for each key, also when duplicates arrive together."""

import io
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from kaspi_delivery_django.api import idempotency
from kaspi_delivery_django.api.models import IdempotencyKey
from kaspi_delivery_django.models import ApiCall, Delivery
from tests.api.conftest import ALL, LIST, address, problem
from tests.shop.models import Order

pytestmark = pytest.mark.django_db


def post(client, path, body, key="k-1"):
    return client.post(path, body, format="json", headers={"Idempotency-Key": key})


@pytest.mark.parametrize(("status", "action"), [("cancelled", "reissue"), ("delivered", "return")])
def test_a_booking_is_done_once(api, booked, status, action):
    """The second answer is the first one, and marked so: 201 again, where a return without the key gets 200."""
    Delivery.objects.update(status=status)
    first, second = (post(api, address(booked, action), {}) for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert [answer.get("Idempotent-Replayed") for answer in (first, second)] == [None, "true"]
    assert Delivery.objects.count() == 2


def test_another_request_with_the_same_key_is_refused(api, booked):
    """Another body, another delivery, another action."""
    assert post(api, address(booked, "cancel"), {"reason": "late"}).status_code == 202
    for path, body in (
        (address(booked, "cancel"), {"reason": "later"}),
        (address(booked, "refresh"), {"reason": "late"}),
        (LIST, {"order_id": "1"}),
    ):
        assert problem(post(api, path, body)) == (422, "key_reused")
    assert Delivery.objects.get().cancel_reason == "late"


def test_a_key_is_its_users_own(program, api, booked):
    """Two programs may number their requests alike."""
    assert post(api, address(booked, "refresh"), {}).status_code == 202
    answer = post(program(*ALL, name="1c"), address(booked, "cancel"), {"reason": "late"})
    assert answer.status_code == 202
    assert "Idempotent-Replayed" not in answer


def test_a_refusal_is_answered_again_and_an_error_is_not(api, booked):
    """What a rule has refused stays refused for the key; a corrected request may use it."""
    assert problem(post(api, address(booked, "cancel"), {})) == (400, "invalid_input")
    assert not IdempotencyKey.objects.exists()
    assert problem(post(api, address(booked, "retry"), {})) == (409, "not_allowed")
    Delivery.objects.filter(pk=booked.pk).update(attention="refused")
    booked.calls.update(state="stuck")
    answer = post(api, address(booked, "retry"), {})
    assert problem(answer) == (409, "not_allowed")
    assert answer["Idempotent-Replayed"] == "true"
    assert answer.json()["detail"].startswith("There is nothing to retry")


def test_nothing_stays_of_a_request_that_fails(api, unbooked):
    """The key can be used again once the adapter works; the answer has none of the customer's data."""
    Order.objects.update(phone="not a phone")
    body = {"order_id": str(unbooked.pk)}
    answer = post(api, LIST, body)
    assert problem(answer) == (422, "adapter_failed")
    assert "not a phone" not in answer.json()["detail"]
    assert not IdempotencyKey.objects.exists()
    Order.objects.update(phone="+7 727 111 0000")
    assert post(api, LIST, body).status_code == 201
    assert Delivery.objects.count() == 1


def test_what_is_no_key_is_refused(api, booked):
    """Before anything is done."""
    for key in ("", "x" * 256, "ключ"):
        answer = post(api, address(booked, "cancel"), {"reason": "late"}, key=key.encode().decode("latin-1"))
        assert problem(answer) == (400, "invalid_input")
        assert "Idempotency-Key" in answer.json()["errors"]
    assert Delivery.objects.get().cancel_requested_at is None


@pytest.mark.django_db(transaction=True)
def test_duplicates_that_arrive_together_have_one_effect(program, booked, at_once):
    """Four connections, one key."""
    Delivery.objects.update(status="cancelled")
    clients = [program(*ALL) for _ in range(4)]
    answers = at_once(*(lambda one=one: post(one, address(booked, "reissue"), {}) for one in clients))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum(answer.get("Idempotent-Replayed") == "true" for answer in answers) == 3
    assert Delivery.objects.count() == 2
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_bookings_that_arrive_together_without_a_key_have_one_effect(program, unbooked, at_once):
    """The order's identity is enough."""
    clients = [program(*ALL) for _ in range(3)]
    body = {"order_id": str(unbooked.pk)}
    answers = at_once(*(lambda one=one: one.post(LIST, body, format="json") for one in clients))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert ApiCall.objects.filter(kind="create").count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_key_is_committed_before_the_answer_leaves(api, booked):
    """Under ATOMIC_REQUESTS too; and inside a transaction of the host's it is part of that."""
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert post(api, address(booked, "refresh"), {}).status_code == 202
        assert problem(post(api, address(booked, "link"), {"delivery_id": "dlv_1"}, key="k-2")) == (409, "not_allowed")
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert IdempotencyKey.objects.count() == 2
    with transaction.atomic():
        post(api, address(booked, "cancel"), {"reason": "late"}, key="k-3")
        transaction.set_rollback(True)
    assert IdempotencyKey.objects.count() == 2
    assert Delivery.objects.get().cancel_requested_at is None


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the others wait for so long that a test cannot")
@pytest.mark.django_db(transaction=True)
def test_a_row_that_stays_locked_is_answered_with_503(api, booked):
    """Nothing was done, and the key is free."""
    other = connection.copy()
    try:
        with other.cursor() as holder, connection.cursor() as cursor:
            holder.execute(f"BEGIN; SELECT 1 FROM kaspi_delivery_delivery WHERE id = {booked.pk} FOR UPDATE")
            cursor.execute("SET lock_timeout = '50ms'")
            answer = post(api, address(booked, "cancel"), {"reason": "late"})
            cursor.execute("RESET lock_timeout")
    finally:
        other.close()
    assert problem(answer) == (503, "busy")
    assert answer["Retry-After"] == "1"
    assert post(api, address(booked, "cancel"), {"reason": "late"}).status_code == 202


def test_old_keys_are_pruned(api, booked, fake_clock):
    """With what else is old; a key is kept for a day at the very least."""
    post(api, address(booked, "refresh"), {})
    fake_clock.advance(days=91)
    post(api, address(booked, "refresh"), {}, key="k-2")
    assert idempotency.old_rows(fake_clock.now - timedelta(days=90)).rows.count() == 1
    call_command("kaspi_prune", stdout=io.StringIO())
    assert [row.key for row in IdempotencyKey.objects.all()] == ["k-2"]
