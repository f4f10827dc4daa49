"""The webhook's door: trust nothing before the signature, ask one service, answer."""

import logging
from http import HTTPStatus

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from rest_framework.request import Request

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import MalformedEvent, WebhookRejected, read_event, verify
from kaspi_delivery_django.client.signatures import check_form
from kaspi_delivery_django.services import clock, inbox, nudges
from kaspi_delivery_django.signals import webhook_answered
from kaspi_delivery_django.views.doors import OpenDoor

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
RETRY_AFTER_S = "30"


class BodyTooLarge(Exception):
    """More than 64 KiB: no webhook of Kaspi's."""


class NoSecret(Exception):
    """Nothing can be verified until WEBHOOK_SECRETS is set."""


class WebhookView(OpenDoor):
    """Takes Kaspi's signed status updates."""

    http_method_names = ["post"]

    def post(self, request: Request, account: str = conf.DEFAULT_ACCOUNT) -> JsonResponse:
        """Store the event; 2xx means that it is committed, now or before."""
        status, outcome = _take(request._request, account)
        webhook_answered.send_robust(WebhookView, http_status=int(status), outcome=outcome)
        return _answer(status, outcome)


class AccountWebhookView(WebhookView):
    """Takes those of one of several accounts, whose alias is in the address."""


def _take(request: HttpRequest, account: str) -> tuple[HTTPStatus, str]:
    """Return the answer's status and word; what is refused leaves its reason in the log."""
    try:
        return HTTPStatus.OK, _receive(request, account)
    except BodyTooLarge:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large"
    except NoSecret:
        logger.error("webhook refused, no WEBHOOK_SECRETS: account=%s", account)  # noqa: TRY400
        return HTTPStatus.SERVICE_UNAVAILABLE, "not configured"
    except WebhookRejected as err:
        logger.warning("webhook rejected: account=%s reason=%s", account, err.reason)
        return HTTPStatus.UNAUTHORIZED, "unauthorized"
    except (MalformedEvent, UnreadablePostError) as err:
        logger.warning("webhook unreadable: account=%s reason=%s", account, err)
        return HTTPStatus.BAD_REQUEST, "unreadable"
    except (DatabaseError, InterfaceError) as err:
        logger.error("webhook not stored: account=%s error=%s", account, type(err).__name__)  # noqa: TRY400
        return HTTPStatus.SERVICE_UNAVAILABLE, "try again"


def _receive(request: HttpRequest, alias: str) -> str:
    body = _read_body(request)
    timestamp = request.META.get("HTTP_X_KASPI_TIMESTAMP", "")
    signature = request.META.get("HTTP_X_KASPI_SIGNATURE", "")
    check_form(timestamp, signature)
    account = _account(alias)
    verify(body, timestamp=timestamp, signature=signature, secrets=account.webhook_secrets, now=clock.now().timestamp())
    event = read_event(body)
    with nudges.held():  # Kaspi waits for us: nothing is sent before it has its answer
        return inbox.receive(account, event, body)


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
    account = conf.account(alias)
    if account is None:
        raise WebhookRejected("no such account")
    if not account.webhook_secrets:
        raise NoSecret
    return account


def _answer(status: HTTPStatus, word: str) -> JsonResponse:
    headers = {"Retry-After": RETRY_AFTER_S} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return JsonResponse({"status": word}, status=status, headers=headers)
