"""Channels: what they refuse for good, what is tried again, and what no log line has."""

import logging
import smtplib
import socket
from datetime import timedelta
from unittest.mock import Mock

import django
import pytest

from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.messages import backends, sending
from kaspi_delivery_django.contrib.messages.backends import Backend, Content, EmailBackend, NeverSendable
from kaspi_delivery_django.contrib.messages.models import Message
from kaspi_delivery_django.contrib.messages.telegram import TelegramBackend, TelegramError
from tests.messages.bot import TOKEN
from tests.messages.conftest import EMAIL, TELEGRAM, rows

database = pytest.mark.django_db(transaction=True)
SILENT = {"token": TOKEN, "base_url": "http://127.0.0.1:9"}
HELLO = Content(text="hello", subject="hello")


class Sms(Backend):
    """What a shop writes for its SMS service."""

    sent: list[tuple[str, str]] = []

    def __init__(self, *, sender):
        self.sender = sender

    def send(self, recipient, text):
        self.sent.append((recipient, text))


@database
def test_a_shop_has_a_channel_of_its_own(report, set_messages, shop, monkeypatch):
    """A class with `send` is enough."""
    monkeypatch.setattr(Sms, "sent", [])
    shop(recipients={"sms": "+7 701 111 1111"})
    set_messages(CHANNELS={"sms": {"BACKEND": f"{__name__}.Sms", "OPTIONS": {"sender": "Shop"}}})
    report("delivered")
    [(recipient, text)] = Sms.sent
    assert (recipient, "Delivered" in text) == ("+7 701 111 1111", True)


@database
@pytest.mark.parametrize(
    ("status", "state"),
    [(400, "failed"), (403, "failed"), (401, "waiting"), (404, "waiting"), (502, "waiting")],
)
def test_a_missing_chat_is_final_and_an_error_of_the_service_is_not(report, drain, bot, fake_clock, status, state):
    """A wrong token is not final either: staff correct it, and can send again what has failed."""
    bot.refuse(status, "chat not found")
    report("in_transit")
    [row] = rows(channel="telegram")
    assert (row.state, row.error == "Telegram refuses it: chat not found") == (state, state == "failed")
    fake_clock.advance(minutes=1)
    drain()
    assert len(bot.sent) == (2 if state == "waiting" else 1)
    assert outgoing.retry(Message.objects.filter(pk=row.pk)) == (state == "failed")
    drain()
    assert rows(channel="telegram", state="sent") == [row]


@database
def test_a_pause_that_telegram_asks_for_is_kept(report, drain, bot, fake_clock):
    """By the message, and by the channel."""
    bot.refuse(429, "Too Many Requests: retry after 600", retry_after=600)
    report("in_transit")
    [row] = rows(channel="telegram")
    assert row.next_attempt_at - fake_clock.now == timedelta(seconds=600)
    fake_clock.advance(seconds=590)
    report("delivered")
    assert len(bot.sent) == 1
    fake_clock.advance(seconds=600)
    drain()
    assert (len(bot.sent), "Delivered" in bot.texts[-1]) == (2, True)


@database
def test_a_channel_that_fails_rests(report, drain, bot, fake_clock, set_messages, mails):
    """A silent service stops neither the worker nor the other channels; messages wait, and none is lost."""
    set_messages(CHANNELS={"telegram": {"BACKEND": TELEGRAM, "OPTIONS": SILENT}, "email": {"BACKEND": EMAIL}})
    report("in_transit")
    [row] = rows(channel="telegram", state="waiting")
    assert (row.attempts, len(mails())) == (1, 1)
    set_messages()
    fake_clock.advance(seconds=sending.PAUSE_S)
    drain()
    assert len(bot.sent) == 1


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


@pytest.mark.parametrize(("code", "error"), [(550, NeverSendable), (450, smtplib.SMTPRecipientsRefused)])
def test_a_mail_server_refuses_for_good_or_for_now(monkeypatch, code, error):
    """By its code."""
    backend, refusal = EmailBackend(), smtplib.SMTPRecipientsRefused({"a@b.kz": (code, b"no")})
    monkeypatch.setattr(backend, "_connection", lambda: Mock(send_messages=Mock(side_effect=refusal)))
    with pytest.raises(error):
        backend.send_content("a@b.kz", HELLO)


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
            EmailBackend().send_content("a@b.kz", HELLO)
