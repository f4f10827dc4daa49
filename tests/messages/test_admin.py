"""The page of messages: what staff see of them, and how they send one again."""

import pytest
from django.core.management import call_command

from kaspi_delivery_django.services.maintenance import pruning
from tests.admin.conftest import message_text, staff  # noqa: F401  # a fixture
from tests.messages.conftest import rows

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/admin/kaspi_delivery_messages/message/"
SEEN = ("view_message",)


@pytest.fixture
def failed(news, bot):
    """Return a message that Telegram refused."""
    bot.refuse(403, "Forbidden: bot was blocked by the user")
    news("in_transit")
    return rows(channel="telegram")[0]


def test_the_list_shows_what_became_of_them(failed, staff):  # noqa: F811
    """Not to whom, nor the text."""
    page = staff(*SEEN).get(URL).content.decode()
    assert "Telegram refuses it: Forbidden: bot was blocked by the user" in page
    assert "In transit" in page
    assert "aigerim@example.kz" not in page


@pytest.mark.parametrize(("permissions", "is_shown"), [((), False), (("view_personal_data",), True)])
def test_recipient_and_text_are_personal(failed, staff, permissions, is_shown):  # noqa: F811
    """Behind the permission that phones and addresses are behind."""
    row = rows(channel="email")[0]
    page = staff(*SEEN, *permissions).get(f"{URL}{row.pk}/change/").content.decode()
    assert ("aigerim@example.kz" in page, "has your parcel" in page) == (is_shown, is_shown)
    assert row.claim_token == ""


def test_without_the_permission_there_is_no_page(failed, staff):  # noqa: F811
    """Seeing deliveries is not enough."""
    assert staff().get(URL).status_code == 403


def test_a_failed_one_can_be_sent_again(failed, staff, bot, drain):  # noqa: F811
    """After a confirmation, by the worker."""
    client = staff(*SEEN, "retry_delivery")
    page = client.get(f"{URL}{failed.pk}/change/").content.decode()
    assert f"{URL}{failed.pk}/do/again/" in page
    answered = client.post(f"{URL}{failed.pk}/do/again/", follow=True)
    assert "it is sent with the worker" in message_text(answered)
    drain()
    assert rows(channel="telegram")[0].state == "sent"
    assert len(bot.sent) == 2
    assert "not sent again" in message_text(client.post(f"{URL}{failed.pk}/do/again/", follow=True))


def test_several_can_be_sent_again(failed, staff, drain):  # noqa: F811
    """Those that have not failed are left alone."""
    client = staff(*SEEN, "retry_delivery")
    chosen = {"action": "send_messages_again", "_selected_action": [row.pk for row in rows()]}
    asked = client.post(URL, chosen)
    assert "asked for the recipient again" in asked.content.decode()
    keys = ",".join(str(row.pk) for row in rows())
    client.post(URL, {**chosen, "apply": "1", "select_across": "1", "asked_about": keys})
    drain()
    assert {row.state for row in rows()} == {"sent"}


def test_no_one_sends_again_without_the_permission(failed, staff):  # noqa: F811
    """The page has no button, and the address refuses."""
    client = staff(*SEEN)
    assert "/do/again/" not in client.get(f"{URL}{failed.pk}/change/").content.decode()
    assert client.post(f"{URL}{failed.pk}/do/again/").status_code == 403
    assert rows(channel="telegram")[0].state == "failed"


def test_a_reader_of_russian_reads_russian(failed, staff, settings):  # noqa: F811
    """The reason too, as far as it is ours."""
    settings.LANGUAGE_CODE = "ru"
    page = staff(*SEEN).get(f"{URL}?state=failed").content.decode()
    assert "Telegram отклонил сообщение: Forbidden" in page


def test_old_messages_are_pruned_and_blanked_with_their_delivery(failed, turnable, drain):
    """By kaspi_prune, as events are, and personal data is."""
    turnable.turn(days=31)
    failed.delivery.history.update(notified_at=turnable.now)
    type(failed.delivery).objects.update(status="delivered", status_at=failed.created_at, attention="")
    assert sum(pruning.anonymize_personal_data(ended_before=turnable.now, batch=10)) == 1
    assert {(row.recipient, row.text) for row in rows()} == {("", "")}
    turnable.turn(days=60)
    call_command("kaspi_prune")
    assert rows() == []
