"""The client: one method per endpoint, one HTTP attempt per call."""

import logging
import secrets
import sys
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from kaspi_delivery_django.client import protocol
from kaspi_delivery_django.client.addresses import PRODUCTION_URL
from kaspi_delivery_django.client.exceptions import KaspiError, NotReached, OutcomeUnknown
from kaspi_delivery_django.client.transport import DeadlineAdapter, Exchange, current
from kaspi_delivery_django.client.types import DeliveryRequest, RemoteDelivery, TestWebhook, check_base_url

MAX_BODY_BYTES = 1024 * 1024
USER_AGENT = f"kaspi-delivery-django/{sys.modules[__name__.partition('.')[0]].__version__}"
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_SUCCESS = {"create": 201, "get": 200, "cancel": 200, "test_webhook": 202}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds: to connect, for one read, and for the whole exchange. Kaspi suggests 10 s."""

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 15.0


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return none: `requests` would read a redirect's whole body and parse its Location."""


class KaspiClient:
    """A client of the Kaspi Delivery API for one API key.

    It tries each call once and never follows a redirect, a proxy variable or a `.netrc`. Errors are
    `KaspiError`s that record whether the outcome is known and how long to wait. One client may serve
    many threads. `transport` replaces the network, for tests.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = PRODUCTION_URL,
        timeouts: Timeouts | None = None,
        transport: BaseAdapter | None = None,
        pool_size: int = 32,
    ) -> None:
        self._base_url = check_base_url(base_url)
        self._sent_to = _as_sent(self._base_url)
        self.timeouts = timeouts or Timeouts()
        self._session = _Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
            "x-api-key": protocol.check_header(api_key, "the API key"),
        }
        adapter = transport or DeadlineAdapter(pool_maxsize=pool_size, max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __repr__(self) -> str:
        return f"KaspiClient(base_url={self.base_url!r})"

    @property
    def base_url(self) -> str:
        """Where requests go; make another client for another address."""
        return self._base_url

    def create_delivery(self, request: DeliveryRequest, *, idempotency_key: str) -> RemoteDelivery:
        """Book a delivery (`POST /v1/deliveries`)."""
        return self.send(protocol.create(request, idempotency_key))

    def get_delivery(self, delivery_id: str, *, include_history: bool = False) -> RemoteDelivery:
        """Ask for a delivery (`GET /v1/deliveries/{deliveryId}`). Raises `NotFound` on 404."""
        return self.send(protocol.get(delivery_id, include_history=include_history))

    def cancel_delivery(self, delivery_id: str, *, idempotency_key: str, reason: str = "") -> RemoteDelivery:
        """Ask to cancel (`POST …/cancel`). The status of the answer shows whether it is cancelled already.

        Raises `Conflict` once the parcel is in transit.
        """
        return self.send(protocol.cancel(delivery_id, reason, idempotency_key))

    def send_test_webhook(self, url: str, event_type: str) -> TestWebhook:
        """Have Kaspi send a signed test event to the URL (`POST /v1/webhooks/test`)."""
        request = protocol.test_webhook(url, event_type)
        answer = self.exchange(request)
        return protocol.read_test_webhook(request, answer, datetime.now(UTC))

    def send(self, request: protocol.Request, *, total_s: float | None = None) -> RemoteDelivery:
        """Send a request that was built before, within `total_s` seconds, and read its answer."""
        answer = self.exchange(request, total_s=total_s)
        return protocol.read_delivery(request, answer, datetime.now(UTC))

    def exchange(self, request: protocol.Request, *, total_s: float | None = None) -> protocol.Answer:
        """Return Kaspi's answer as it is.

        Raises `NotReached` when no byte can have left, `OutcomeUnknown` when one can.
        """
        request_id = secrets.token_hex(16)
        try:
            headers = {**request.headers, protocol.REQUEST_ID: request_id}
            answer = self._exchange(replace(request, headers=headers), total_s)
        except KaspiError as err:
            err.request_id = request_id
            raise
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            _log_other_success(request.operation, answer.status)
        return replace(answer, request_id=protocol.request_id_of(answer.headers, request_id))

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def _exchange(self, request: protocol.Request, total_s: float | None) -> protocol.Answer:
        exchange = Exchange(total_s or self.timeouts.total_s)
        token = current.set(exchange)
        try:
            return self._answer(request, exchange)
        except requests.ConnectTimeout as err:
            raise NotReached("could not connect to Kaspi") from err
        except (requests.RequestException, HTTPError, OSError) as err:
            if not exchange.bytes_left:
                raise NotReached("could not connect to Kaspi") from err
            raise OutcomeUnknown(f"no whole answer from Kaspi: {type(err).__name__}") from err
        finally:
            current.reset(token)

    def _answer(self, request: protocol.Request, exchange: Exchange) -> protocol.Answer:
        left = exchange.seconds_left()
        response = self._session.send(
            self._prepared(request),
            timeout=(min(self.timeouts.connect_s, left), min(self.timeouts.read_s, left)),
            allow_redirects=False,
            stream=True,
        )
        if response.status_code < HTTPStatus.OK:
            response.close()
            raise OutcomeUnknown("an interim answer only", status=response.status_code)
        body = _read(response)
        headers = {name.lower(): value for name, value in response.headers.items()}
        try:
            body = _inflated(body, headers.get("content-encoding", ""))
        except (ValueError, zlib.error) as err:
            raise OutcomeUnknown("no whole answer from Kaspi: the body cannot be decompressed") from err
        if len(body) > MAX_BODY_BYTES:
            response.close()
            raise OutcomeUnknown("the answer is larger than 1 MiB", status=response.status_code)
        return protocol.Answer(status=response.status_code, headers=headers, body=body)

    def _prepared(self, request: protocol.Request) -> requests.PreparedRequest:
        """Return what `requests` would make of it, without its care for any kind of address, header and body."""
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = self._sent_to + request.path
        prepared.body = request.body
        length = {} if request.body is None else {"Content-Length": str(len(request.body))}
        prepared.headers = CaseInsensitiveDict({**self._headers, **request.headers, **length})
        return prepared


def _read(response: requests.Response) -> bytes:
    """Read a body as it was sent, up to one byte more than is allowed; raise when its end is missing."""
    body = b""
    while len(body) <= MAX_BODY_BYTES:
        try:
            part = response.raw.read(MAX_BODY_BYTES + 1 - len(body), decode_content=False)
        except ValueError as err:  # `http.client` takes a chunk of -5 bytes for one
            raise OutcomeUnknown("no whole answer from Kaspi: a chunk has no length") from err
        if not part:
            break
        body += part
    return body


def _inflated(body: bytes, encoding: str) -> bytes:
    """Decompress a body that a server compressed unasked, to one byte more than is allowed at most.

    `urllib3` before 2.6 decompresses what it has read before it counts: 1 MiB can become 1 GiB. Raises `ValueError` for
    what is no gzip or deflate, or is not whole.
    """
    if encoding.strip().lower() in {"", "identity"}:
        return body
    if encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"}:
        raise ValueError("an encoding that was not asked for")
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    inflated = inflater.decompress(body, MAX_BODY_BYTES + 1)
    if len(inflated) <= MAX_BODY_BYTES and not inflater.eof:
        raise ValueError("a part of the body only")
    return inflated


@lru_cache
def _log_other_success(operation: protocol.Operation, status: int) -> None:
    """Log a success that Kaspi does not document, once in a process: it is taken as a success."""
    if status != _SUCCESS[operation]:
        logger.warning("undocumented success: operation=%s status=%s", operation, status)


def _as_sent(base_url: str) -> str:
    """Return a base URL as `requests` writes it: host in lower case, dots resolved, what must be quoted quoted."""
    prepared = requests.PreparedRequest()
    prepared.prepare_url(base_url, None)
    return str(prepared.url).rstrip("/")
