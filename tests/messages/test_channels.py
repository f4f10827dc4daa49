"""Channels: what they refuse for good, what is tried again, and what no log line has."""

import logging
import smtplib
import socket
from datetime import timedelta

import django
import pytest
from django.core.mail.backends.base import BaseEmailBackend

from kaspi_delivery_django.contrib.messages import backends, sending
from kaspi_delivery_django.contrib.messages.backends import Backend, Content, EmailBackend, NeverSendable
from kaspi_delivery_django.contrib.messages.models import Message
from kaspi_delivery_django.contrib.messages.telegram import TelegramBackend, TelegramError
from tests.messages.bot import TOKEN
from tests.messages.conftest import EMAIL, TELEGRAM, rows

database = pytest.mark.django_db(transaction=True)
SILENT = {"token": TOKEN, "base_url": "http://127.0.0.1:9"}


class Sms(Backend):
    """What a shop writes for its SMS service."""

    sent: list[tuple[str, str]] = []

    def __init__(self, *, sender):
        self.sender = sender

    def send(self, recipient, text):
        self.sent.append((recipient, text))


@database
def test_a_shop_has_a_channel_of_its_own(news, configure, shop, monkeypatch):
    """A class with `send` is enough."""
    monkeypatch.setattr(Sms, "sent", [])
    shop(recipients={"sms": "+7 701 111 1111"})
    configure(CHANNELS={"sms": {"BACKEND": f"{__name__}.Sms", "OPTIONS": {"sender": "Shop"}}})
    news("delivered")
    [(recipient, text)] = Sms.sent
    assert (recipient, "Delivered" in text) == ("+7 701 111 1111", True)


@database
@pytest.mark.parametrize(
    ("status", "description"), [(400, "Bad Request: chat not found"), (403, "Forbidden: bot was blocked by the user")]
)
def test_a_chat_that_is_not_there_is_not_tried_again(news, drain, bot, turnable, status, description):
    """Staff read why; the next message is tried."""
    bot.refuse(status, description)
    news("in_transit")
    turnable.turn(days=1)
    drain()
    [row] = rows(channel="telegram")
    assert (row.state, row.error, len(bot.sent)) == ("failed", f"Telegram refuses it: {description}", 1)
    news("delivered")
    assert len(bot.sent) == 2


@database
@pytest.mark.parametrize("status", [401, 404, 500, 502])
def test_an_error_of_the_service_is_tried_again(news, drain, bot, turnable, status):
    """A wrong token too: staff correct it."""
    bot.refuse(status, "no")
    news("in_transit")
    [row] = rows(channel="telegram")
    assert row.state == "waiting"
    turnable.turn(minutes=1)
    drain()
    assert len(bot.sent) == 2
    assert rows(channel="telegram", state="sent") == [row]


@database
def test_a_pause_that_telegram_asks_for_is_kept(news, drain, bot, turnable):
    """By the message, and by the channel."""
    bot.refuse(429, "Too Many Requests: retry after 600", retry_after=600)
    news("in_transit")
    [row] = rows(channel="telegram")
    assert row.next_attempt_at - turnable.now == timedelta(seconds=600)
    turnable.turn(seconds=590)
    news("delivered")
    assert len(bot.sent) == 1
    turnable.turn(seconds=600)
    drain()
    assert "Delivered" in bot.texts[-1]
    assert len(bot.sent) == 2


@database
def test_a_channel_that_fails_rests(news, drain, bot, turnable, configure, mails):
    """A silent service stops neither the worker nor the other channels; messages wait, and none is lost."""
    dead = {"BACKEND": TELEGRAM, "OPTIONS": SILENT}
    configure(CHANNELS={"telegram": dead, "email": {"BACKEND": EMAIL}})
    news("in_transit")
    [row] = rows(channel="telegram", state="waiting")
    assert (row.attempts, len(mails())) == (1, 1)
    configure()
    turnable.turn(seconds=sending.PAUSE_S)
    drain()
    assert len(bot.sent) == 1


@database
def test_after_three_days_a_message_has_failed_and_staff_send_it_again(move, drain, bot, turnable):
    """The error is there to be read until then."""
    for _ in range(30):
        bot.refuse(500, "Internal Server Error")
    move("in_transit")
    for _ in range(30):
        drain()
        turnable.turn(hours=7)
    [row] = rows(channel="telegram")
    assert (row.state, row.error[:13]) == ("failed", "TelegramError")
    assert sending.send_again(row)
    bot.answers = []
    drain()
    assert rows(channel="telegram", state="sent") == [row]
    assert not sending.send_again(row)


def test_a_long_text_is_cut(bot):
    """Telegram takes 4096 characters."""
    TelegramBackend(token=TOKEN, base_url=bot.url).send("742", "я" * 5000)
    assert bot.texts == ["я" * 4095 + "…"]


def test_the_token_is_in_no_log_line_and_no_error(bot, caplog):
    """It is in the address that urllib3 logs, and that its errors have."""
    caplog.set_level(logging.DEBUG)
    TelegramBackend(token=TOKEN, base_url=bot.url).send("742", "hello")
    with pytest.raises(TelegramError) as raised:
        TelegramBackend(**SILENT).send("742", "hello")
    assert "sendMessage" in caplog.text
    assert TOKEN not in caplog.text + str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("token", ["", "123456:short", None, "123456789:with a space in it, and long"])
def test_what_can_be_no_token_is_refused(token):
    """Before anything is sent."""
    with pytest.raises(ValueError, match="BotFather"):
        TelegramBackend(token=token)


@pytest.mark.parametrize("recipient", ["aigerim", "a@b.kz\nBcc: c@d.kz", ""])
def test_what_is_no_address_is_not_tried_again(recipient, mails):
    """And cannot smuggle a header."""
    with pytest.raises(NeverSendable):
        EmailBackend().send(recipient, "hello")
    assert mails() == []


class Refusing(BaseEmailBackend):
    """A mail server that refuses a recipient."""

    codes = (550,)

    def send_messages(self, messages):
        raise smtplib.SMTPRecipientsRefused({str(code): (code, b"no") for code in self.codes})


@pytest.mark.parametrize(("codes", "error"), [((550,), NeverSendable), ((450,), smtplib.SMTPRecipientsRefused)])
def test_a_mail_server_refuses_for_good_or_for_now(monkeypatch, codes, error):
    """By its code."""
    monkeypatch.setattr(Refusing, "codes", codes)
    backend = EmailBackend()
    monkeypatch.setattr(backend, "_connection", Refusing)
    with pytest.raises(error):
        backend.send_content("a@b.kz", Content(text="hello", subject="hello"))


def test_a_silent_mail_server_has_a_limit(settings, mails, monkeypatch):
    """Django has none by default: a worker would wait for ever."""
    name = "django.core.mail.backends.smtp.EmailBackend"
    monkeypatch.setattr(backends, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        if django.VERSION >= (6, 1):
            settings.MAILERS = {"default": {"BACKEND": name, "OPTIONS": {"host": host, "port": port}}}
        else:
            settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = name, host, port
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            EmailBackend().send_content("a@b.kz", Content(text="hello", subject="hello"))


@database
def test_a_message_is_anonymized_with_its_delivery(news, bot, booked):
    """What has failed is not sent again."""
    bot.refuse(403, "Forbidden")
    news("in_transit")
    sending.anonymize([booked.pk])
    assert {(row.recipient, row.subject, row.text) for row in rows()} == {("", "", "")}
    assert not sending.send_again(rows(channel="telegram")[0])
    assert Message.objects.filter(state="sent").count() == 1
