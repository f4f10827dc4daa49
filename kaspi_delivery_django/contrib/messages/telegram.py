"""Telegram: `sendMessage` of the Bot API. The recipient is a chat id, which a shop gets when a customer starts its bot.

The token is in the address of each request, so no exception and no log line may have the address.
"""

import logging
import re
from http import HTTPStatus
from typing import Any

import requests

from kaspi_delivery_django.contrib.messages.backends import TIMEOUT_S, Backend, NeverSendable, RetryLater

API = "https://api.telegram.org"
TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]{20,}")
MAX_LENGTH = 4096
MAX_PAUSE_S = 3600
ADDRESS_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")
_IN_ADDRESS = re.compile(r"/bot[^/\s\"']+")


class TelegramError(Exception):
    """Telegram did not accept the message this time. The text has no token, chat or message."""


class HideToken(logging.Filter):
    """Hides the token in the addresses that urllib3 logs at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        found = record.getMessage()
        if "/bot" in found:
            record.msg, record.args = _IN_ADDRESS.sub("/bot***", found), ()
        return True


class TelegramBackend(Backend):
    """Sends as the bot of this `token`. `base_url` is the address of a Bot API server of your own."""

    def __init__(self, *, token: str, base_url: str = API) -> None:
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            raise ValueError("'token' must be the one that @BotFather gave, as 123456:ABC-…")
        if not isinstance(base_url, str) or not re.fullmatch(r"https?://\S+", base_url):
            raise ValueError(f"'base_url' must be an address, as {API}")
        self._url = f"{base_url.rstrip('/')}/bot{token}/sendMessage"
        self._session: requests.Session | None = None
        hide_token()

    def send(self, recipient: str, text: str) -> None:
        """Send a text to a chat; the rest of one above 4096 characters is cut."""
        cut = text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"
        status, answer = self._post({"chat_id": recipient, "text": cut})
        if status == HTTPStatus.OK and answer.get("ok") is True:
            return
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise RetryLater(_pause_s(answer))
        description = str(answer.get("description", ""))[:200]
        if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}:
            raise NeverSendable(f"Telegram refuses it: {description}")
        raise TelegramError(f"HTTP {status}")

    def _post(self, document: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self._session = self._session or requests.Session()
        try:
            answer = self._session.post(self._url, json=document, timeout=TIMEOUT_S, allow_redirects=False)
        except requests.RequestException as err:  # its text has the address
            raise TelegramError(type(err).__name__) from None
        try:
            found = answer.json()
        except ValueError:
            found = None
        return answer.status_code, found if isinstance(found, dict) else {}


def hide_token() -> None:
    """Have urllib3's log lines pass the filter, once."""
    for logger in map(logging.getLogger, ADDRESS_LOGGERS):
        if not any(isinstance(one, HideToken) for one in logger.filters):
            logger.addFilter(HideToken())


def _pause_s(answer: dict[str, Any]) -> float:
    parameters = answer.get("parameters")
    pause = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return min(max(pause, 1), MAX_PAUSE_S) if isinstance(pause, int) else 1
