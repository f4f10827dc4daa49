"""The page of messages: what staff see of them, and how they send one again."""

import pytest
from django.core.management import call_command

from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.messages.models import Message
from kaspi_delivery_django.services.maintenance import pruning
from tests.admin.conftest import message_text
from tests.messages.conftest import rows

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/admin/kaspi_delivery_messages/message/"


@pytest.fixture
def failed(report, bot):
    """Return a message that Telegram refused."""
    bot.refuse(403, "Forbidden: bot was blocked by the user")
    report("in_transit")
    return rows(channel="telegram")[0]


@pytest.fixture
def read(staff, failed):
    """Return a function that reads a page as staff with these permissions."""
    return lambda url, *permissions: staff("view_message", *permissions).get(url).content.decode()


def test_the_list_shows_what_became_of_them(read, staff, settings):
    """Not to whom, nor the text; in the reader's language; seeing deliveries is not enough."""
    page = read(URL)
    assert "Telegram refuses it: Forbidden: bot was blocked by the user" in page
    assert ("In transit" in page, "aigerim@example.kz" in page) == (True, False)
    settings.LANGUAGE_CODE = "ru"
    assert "Telegram отклонил сообщение: Forbidden" in read(f"{URL}?state=failed")
    assert staff().get(URL).status_code == 403


@pytest.mark.parametrize(("permissions", "is_shown"), [((), False), (("view_personal_data",), True)])
def test_recipient_and_text_are_personal(read, permissions, is_shown):
    """Behind the permission that phones and addresses are behind."""
    page = read(f"{URL}{rows(channel='email')[0].pk}/change/", *permissions)
    assert ("aigerim@example.kz" in page, "has your parcel" in page) == (is_shown, is_shown)


def test_a_failed_one_can_be_sent_again(read, failed, staff, bot, drain):
    """After a confirmation, by the worker; one that has not failed is left alone, and so is it without permission."""
    button = f"{URL}{failed.pk}/do/send_again/"
    assert button not in read(f"{URL}{failed.pk}/change/")
    assert staff("view_message").post(button).status_code == 403
    assert button in read(f"{URL}{failed.pk}/change/", "retry_delivery")
    client = staff("view_message", "retry_delivery")
    assert "it is sent with the worker" in message_text(client.post(button, follow=True))
    drain()
    assert ({row.state for row in rows()}, len(bot.sent)) == ({"sent"}, 2)
    assert "not sent again" in message_text(client.post(button, follow=True))


def test_several_can_be_sent_again(failed, staff, drain):
    """After the same question."""
    client = staff("view_message", "retry_delivery")
    chosen = {"action": "send_again", "_selected_action": [row.pk for row in rows()]}
    assert "asked for the recipient again" in client.post(URL, chosen).content.decode()
    keys = ",".join(str(row.pk) for row in rows())
    client.post(URL, {**chosen, "apply": "1", "select_across": "1", "asked_about": keys})
    drain()
    assert {row.state for row in rows()} == {"sent"}


def test_old_messages_are_pruned_and_anonymized_with_their_delivery(failed, fake_clock, drain):
    """By kaspi_prune, as events are, and personal data is; what has failed cannot be sent then."""
    fake_clock.advance(days=31)
    failed.delivery.history.update(notified_at=fake_clock.now)
    type(failed.delivery).objects.update(status="delivered", status_at=failed.created_at, attention="")
    assert sum(pruning.anonymize_personal_data(ended_before=fake_clock.now, batch=10)) == 1
    assert {(row.recipient, row.subject, row.text) for row in rows()} == {("", "", "")}
    assert not outgoing.retry(Message.objects.all())
    fake_clock.advance(days=60)
    call_command("kaspi_prune")
    assert rows() == []
