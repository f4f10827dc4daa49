"""Sign and send the events that are due, each endpoint in its turn, so that a slow one delays nothing else for long."""

import math
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus

import requests
from standardwebhooks import Webhook
from urllib3.exceptions import HTTPError

from kaspi_delivery_django.client.http import USER_AGENT
from kaspi_delivery_django.client.protocol import read_retry_after
from kaspi_delivery_django.client.transport import DeadlineAdapter, Exchange, current
from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.outgoing import NeverSendable, RetryLater
from kaspi_delivery_django.contrib.relay import conf
from kaspi_delivery_django.contrib.relay.conf import Endpoint
from kaspi_delivery_django.contrib.relay.models import RelayedEvent
from kaspi_delivery_django.services import clock

CONNECT_S = 5.0
TOTAL_S = 10.0
ROUND_S = 5.0  # then no further event is begun in this round
REST_FACTOR = 10  # a failure is followed by a rest ten times as long as it took
LONGEST_REST_S = 3600.0
BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

_rests_until: dict[str, datetime] = {}  # of this process, by alias
_served_at: dict[str, float] = {}


def run(*, limit: int) -> int:
    """Send due events of each endpoint, the one that was served longest ago first. Return how many have arrived."""
    began, now = time.monotonic(), clock.now()
    ready = [one for one in conf.endpoints().values() if _rests_until.get(one.alias, now) <= now]
    done = 0
    for endpoint in sorted(ready, key=lambda one: _served_at.get(one.alias, 0.0)):
        _served_at[endpoint.alias] = time.monotonic()
        done += _serve(endpoint, limit=limit, within_s=ROUND_S / len(ready))
        if time.monotonic() - began >= ROUND_S:
            break
    return done


def _serve(endpoint: Endpoint, *, limit: int, within_s: float) -> int:
    rows = RelayedEvent.objects.filter(endpoint=endpoint.alias)
    with closing(DeadlineAdapter(max_retries=0)) as adapter:
        return outgoing.send_due(rows, partial(_send, endpoint, adapter), limit=limit, within_s=within_s)


def _send(endpoint: Endpoint, adapter: DeadlineAdapter, row: RelayedEvent) -> None:
    """Post one event. Raises `RetryLater` and `NeverSendable`, whose texts hold nothing of the endpoint's."""
    began = time.monotonic()
    try:
        status, retry_after = _post(endpoint, adapter, row)
    except (requests.RequestException, HTTPError, OSError) as err:
        raise _failure(endpoint, f"no answer from the endpoint: {type(err).__name__}", began=began) from err
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status == HTTPStatus.GONE:
        raise NeverSendable("410 from the endpoint: it wants no more of them")
    text = f"{status} from the endpoint"
    if status in BUSY:
        raise _failure(endpoint, text, began=began, wait_s=read_retry_after(retry_after, datetime.now(UTC)) or 0.0)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _failure(endpoint, text, began=began)
    raise RetryLater(text=text)


def _failure(endpoint: Endpoint, text: str, *, began: float, wait_s: float = 0.0) -> RetryLater:
    """Return the error of an endpoint that is away, and leave it alone for a while."""
    rest_s = min(max(REST_FACTOR * (time.monotonic() - began), wait_s), LONGEST_REST_S)
    _rests_until[endpoint.alias] = clock.now() + timedelta(seconds=rest_s)
    return RetryLater(wait_s, text, ends_round=True)


def _post(endpoint: Endpoint, adapter: DeadlineAdapter, row: RelayedEvent) -> tuple[int, str]:
    """Return the answer's status and its Retry-After. The body is not read, and a redirect not followed."""
    exchange = Exchange(TOTAL_S)
    token = current.set(exchange)
    try:
        request = requests.Request("POST", endpoint.url, data=row.body.encode(), headers=_headers(endpoint, row))
        response = adapter.send(request.prepare(), timeout=(CONNECT_S, TOTAL_S))
        response.close()
    finally:
        current.reset(token)
    return response.status_code, response.headers.get("Retry-After", "")


def _headers(endpoint: Endpoint, row: RelayedEvent) -> dict[str, str]:
    """Return the headers of Standard Webhooks. The time is that of the attempt, the id the event's own."""
    now = datetime.now(UTC)
    signatures = (Webhook(secret).sign(row.message_id, now, row.body) for secret in endpoint.secrets)
    return {
        "Content-Type": "application/json",
        "Connection": "close",
        "User-Agent": USER_AGENT,
        "webhook-id": row.message_id,
        "webhook-timestamp": str(math.floor(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
