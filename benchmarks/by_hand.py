"""A loop by hand: threads for HTTP, raw SQL for the rows.

It keeps no promise: it knows one kind of call and one outcome, compares and checks nothing, and sends no signal.
"""

import json
import secrets
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any

import requests
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

Row = tuple[Any, ...]

CLAIM = """
UPDATE kaspi_delivery_apicall SET state = 'sending', claim_token = %s, next_attempt_at = %s, attempts = attempts + 1,
  unknown_since = %s
WHERE id IN (
  SELECT id FROM kaspi_delivery_apicall WHERE next_attempt_at <= %s ORDER BY next_attempt_at LIMIT %s {skip_locked}
) RETURNING id, delivery_id, idempotency_key, payload
"""
LINK = """
UPDATE kaspi_delivery_delivery SET delivery_id = %s, status = %s, status_at = %s, tracking_url = %s, pickup_by = %s,
  delivery_by = %s, raw = %s, next_refresh_at = %s, updated_at = %s
WHERE id = %s
"""
FINISH = """
UPDATE kaspi_delivery_apicall SET state = 'done', next_attempt_at = NULL, claim_token = '', unknown_since = NULL,
  updated_at = %s
WHERE id = %s
"""
REMEMBER = """
INSERT INTO kaspi_delivery_statuschange (delivery_id, from_status, to_status, at, source, note, applied, notify_after,
  created_at, notified_at)
VALUES (%s, '', %s, %s, 'create', '', %s, %s, %s, %s)
"""


def send_all(threads: int) -> None:
    """Claim, send and record results until nothing is due."""
    session = requests.Session()
    session.trust_env = False
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=threads)
    session.mount("http://", adapter)
    session.headers["x-api-key"] = "test-api-key"
    under_way: set[Future[tuple[Row, dict[str, Any]]]] = set()
    with ThreadPoolExecutor(threads) as pool:
        while True:
            under_way |= {pool.submit(_post, session, row) for row in _claim(2 * threads - len(under_way))}
            if not under_way:
                return
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            _record([future.result() for future in done])


def _claim(limit: int) -> Sequence[Row]:
    now = timezone.now()
    skip_locked = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    statement = CLAIM.format(skip_locked=skip_locked)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, [secrets.token_hex(16), now + timedelta(minutes=1), now, now, limit])
        return list(cursor.fetchall())


def _post(session: requests.Session, row: Row) -> tuple[Row, dict[str, Any]]:
    _call, _delivery, key, payload = row
    address = f"{settings.KASPI_DELIVERY['BASE_URL']}/v1/deliveries"
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    answer = session.post(address, data=payload.encode(), headers=headers, timeout=(5, 10))
    answer.raise_for_status()
    return row, answer.json()


def _record(answered: Sequence[tuple[Row, dict[str, Any]]]) -> None:
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(LINK, [_linked(row, booked, now) for row, booked in answered])
        cursor.executemany(FINISH, [(now, row[0]) for row, _booked in answered])
        steps = [(row[1], booked["status"], now, True, now, now, now) for row, booked in answered]
        cursor.executemany(REMEMBER, steps)


def _linked(row: Row, booked: dict[str, Any], now: Any) -> Row:
    eta = booked["eta"]
    words = (booked["deliveryId"], booked["status"], now, booked["trackingUrl"], eta["pickupBy"], eta["deliveryBy"])
    return (*words, json.dumps(booked), now, now, row[1])
