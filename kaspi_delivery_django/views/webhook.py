"""The webhook endpoint: verify the signature, call the inbox, answer."""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from rest_framework.request import Request

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import MalformedEvent, WebhookRejected, read_event, verify
from kaspi_delivery_django.client.webhooks import check_form
from kaspi_delivery_django.services import clock, errors, inbox
from kaspi_delivery_django.services.deliveries import notifications, runners
from kaspi_delivery_django.signals import webhook_answered
from kaspi_delivery_django.views.public import PublicAPIView

MINUTE_S = 60.0
HOUR_S = 3600.0


class ThrottledLog:
    """Log a message at most once per key and interval, with the number of messages left out since.

    Keys come from our code, never from a request: there are few.
    """

    def __init__(self, logger: logging.Logger, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._ticks = logger, ticks
        self._lock = threading.Lock()
        self._left_out = Counter[str]()
        self._quiet_until = defaultdict[str, float](float)

    def log(self, level: int, message: str, *args: object, key: str, every_s: float = MINUTE_S) -> None:
        """Log the message, unless one with this key was logged within `every_s` seconds."""
        with self._lock:
            if self._ticks() < self._quiet_until[key]:
                self._left_out[key] += 1
                return
            left_out = self._left_out.pop(key, 0)
            self._quiet_until[key] = self._ticks() + every_s
        self._logger.log(level, "%s left_out=%s", message % args, left_out)


logger = logging.getLogger(__name__)
MAX_BODY_BYTES = 64 * 1024
RETRY_AFTER_S = "30"
CHUNKED = "the body is empty: it was sent in chunks, which WSGI does not read; let the proxy buffer requests"
BROKEN = "the connection broke"
UNSIGNED = frozenset({"too large", "not configured", "unauthorized", "incomplete"})
throttled_log = ThrottledLog(logger)


class BodyTooLarge(Exception):
    """The body has more than 64 KiB; Kaspi's webhooks have less."""


class NothingToVerifyWith(Exception):
    """No webhook secret is configured for this address; the text is for the log."""


UNSIGNED_ERRORS = (BodyTooLarge, NothingToVerifyWith, WebhookRejected, UnreadablePostError)


class WebhookView(PublicAPIView):
    """Receive Kaspi's signed webhooks."""

    reads_no_cookie = True
    http_method_names = ["post"]

    def post(self, request: Request, account: str = conf.DEFAULT_ACCOUNT) -> JsonResponse:
        """Store the event; 2xx means that it is committed."""
        status, outcome = _read_event(request._request, account)
        webhook_answered.send_robust(WebhookView, http_status=int(status), outcome=outcome)
        return _answer(status, outcome)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep Django from logging and mailing each refused request; log them throttled instead."""
        final: Any = super().finalize_response(request, response, *args, **kwargs)
        if final.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            throttled_log.log(logging.WARNING, "webhook not posted", key="method")
            final._has_been_logged = True  # noqa: SLF001  # Django reads it before it logs
        return final


class AccountWebhookView(WebhookView):
    """Receive the webhooks of the account whose alias is in the path."""


def _read_event(request: HttpRequest, alias: str) -> tuple[HTTPStatus, str]:
    """Return the response's status and outcome; log the reason of a refusal."""
    account = alias if conf.ALIAS.fullmatch(alias) else repr(alias)  # the host's own route may pass anything
    try:
        return HTTPStatus.OK, _receive(request, alias)
    except UNSIGNED_ERRORS as err:
        return _refuse(account, err)
    except MalformedEvent as err:
        logger.warning("webhook unreadable, though signed: account=%s reason=%s", account, err)
        return HTTPStatus.BAD_REQUEST, "unreadable"
    except inbox.InsideTransaction:
        logger.error("webhook not stored, a transaction is open around the view: account=%s", account)  # noqa: TRY400
        return HTTPStatus.SERVICE_UNAVAILABLE, "try again"
    except Exception as err:  # noqa: BLE001  # the event was not stored: Kaspi sends it again
        logger.error("webhook not stored: account=%s error=%s", account, errors.describe(err))  # noqa: TRY400
        return HTTPStatus.SERVICE_UNAVAILABLE, "try again"


def _refuse(account: str, err: Exception) -> tuple[HTTPStatus, str]:
    """Return the response to an unsigned request; log throttled, since strangers can repeat it."""
    if isinstance(err, NothingToVerifyWith):
        throttled_log.log(
            logging.ERROR, "webhook unverifiable: account=%s reason=%s", account, err, key=str(err), every_s=HOUR_S
        )
        return HTTPStatus.SERVICE_UNAVAILABLE, "not configured"
    if isinstance(err, WebhookRejected):
        throttled_log.log(
            logging.WARNING, "webhook rejected: account=%s reason=%s", account, err.reason, key=err.reason
        )
        return HTTPStatus.UNAUTHORIZED, "unauthorized"
    if isinstance(err, BodyTooLarge):
        throttled_log.log(logging.WARNING, "webhook too large: account=%s", account, key="too large")
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large"
    throttled_log.log(logging.WARNING, "webhook unreadable: account=%s reason=%s", account, BROKEN, key=BROKEN)
    return HTTPStatus.BAD_REQUEST, "incomplete"


def _receive(request: HttpRequest, alias: str) -> str:
    body = _read_body(request)
    timestamp = request.META.get("HTTP_X_KASPI_TIMESTAMP", "")
    signature = request.META.get("HTTP_X_KASPI_SIGNATURE", "")
    check_form(timestamp, signature)
    account = _account(alias)
    secrets = account.webhook_secrets
    try:
        verify(body, timestamp=timestamp, signature=signature, secrets=secrets, now=clock.now().timestamp())
    except WebhookRejected as err:
        raise _with_hint(err, request, body) from err
    event = read_event(body)
    with (
        runners.deferred_to_request_end(),
        notifications.deferred_to_worker(),
    ):  # Kaspi waits for us: nothing is sent before it has its answer
        return inbox.receive(account, event, body)


def _with_hint(err: WebhookRejected, request: HttpRequest, body: bytes) -> WebhookRejected:
    """Name what WSGI makes of a body without a declared length: an empty one."""
    is_chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    return WebhookRejected(CHUNKED) if is_chunked and not body else err


def _read_body(request: HttpRequest) -> bytes:
    if _declared_bytes(request) > MAX_BODY_BYTES:
        raise BodyTooLarge
    body = request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge
    return body


def _declared_bytes(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:  # not every server refuses "²", or five thousand digits
        return 0


def _account(alias: str) -> conf.Account:
    """Return the account. Raises `NothingToVerifyWith` for an unknown account as for a missing secret."""
    try:
        account = conf.account(alias)
    except ImproperlyConfigured as err:
        raise NothingToVerifyWith("KASPI_DELIVERY cannot be read: run manage.py check") from err
    if account is None:
        raise NothingToVerifyWith("no such account")
    if not account.webhook_secrets:
        raise NothingToVerifyWith("no WEBHOOK_SECRETS")
    return account


def _answer(status: HTTPStatus, word: str) -> JsonResponse:
    headers = {"Retry-After": RETRY_AFTER_S} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    response = JsonResponse({"status": word}, status=status, headers=headers)
    if word in UNSIGNED:
        response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001  # Django reads it before it logs
    return response
