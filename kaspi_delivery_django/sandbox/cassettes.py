"""Read and write cassettes: the requests, responses and webhooks of a story, in order, as JSON for people.

A cassette holds neither an API key nor a signature. It does hold what the shop sent: names, phones and addresses.
"""

import difflib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

from kaspi_delivery_django.sandbox.deliveries import rfc3339
from kaspi_delivery_django.sandbox.requests import Request, Schema, parse_json, schema_errors
from kaspi_delivery_django.sandbox.responses import Response, json_response
from kaspi_delivery_django.sandbox.webhooks import Event

VERSION = 1
TIMES = frozenset({"createdAt", "deliveryBy", "pickupBy", "timestamp"})

Entry: TypeAlias = dict[str, Any]
"""One line of a story: {"request": …, "response": …} or {"webhook": …}."""

_TIME_IS = "must be a time such as 2026-03-01T12:00:00Z"
_HEAD: Schema = {"cassette": int, "began_at": str, "story": list}
_REQUEST: Schema = {"method": str, "path": str, "idempotency_key?": str}
_RESPONSE: Schema = {"status": int, "headers?": {}, "text?": str, "latency_s?": float, "drop?": bool, "truncate?": bool}
_EXCHANGE: Schema = {"request": _REQUEST, "response": _RESPONSE}
_EVENT: Schema = {"eventId": str, "type": str, "attempt": int, "data": {"timestamp": str}, "url?": str}


class CassetteError(ValueError):
    """A cassette that cannot be read or written; the message names the file and the mistake."""


class Cassette:
    """A story; `began_at` is the Unix seconds of its first entry."""

    def __init__(self, began_at: float | None = None, story: list[Entry] | None = None) -> None:
        self.began_at = began_at
        self.story: list[Entry] = [] if story is None else story

    def append(self, entry: Entry, now: float) -> None:
        """Add an entry that happens now."""
        self.began_at = now if self.began_at is None else self.began_at
        self.story.append(entry)

    def write(self, path: Path) -> None:
        """Write the story to a file, over an earlier one."""
        head = {"cassette": VERSION, "began_at": rfc3339(self.began_at or 0.0), "story": self.story}
        try:
            path.write_text(f"{json.dumps(head, indent=2, ensure_ascii=False)}\n", encoding="utf-8")
        except OSError as err:
            raise CassetteError(f"The cassette {path} cannot be written: {err.strerror}.") from err


def read(path: Path) -> Cassette:
    """Read a cassette; raises `CassetteError` that names the wrong entry."""
    try:
        value, errors = parse_json(path.read_bytes())
    except OSError as err:
        raise CassetteError(f"The cassette {path} cannot be read: {err.strerror}.") from err
    errors = errors or schema_errors(value, _HEAD) or _errors(value)
    if errors:
        raise CassetteError(f"{path} is no cassette of version {VERSION}: {'; '.join(errors)}.")
    return Cassette(seconds(value["began_at"]), value["story"])


def describe_request(request: Request) -> Entry:
    """Return the part of a request that a replay compares; its headers have the API key, and stay out."""
    query = urlencode(request.query, doseq=True)
    entry: Entry = {"method": request.method, "path": f"{request.path}?{query}" if query else request.path}
    if request.idempotency_key:
        entry["idempotency_key"] = request.idempotency_key
    if request.body:
        entry |= _content(request.body)
    return entry


def describe_response(response: Response) -> Entry:
    """Return a response as an entry; what is usual is left out."""
    entry: Entry = {"status": response.status}
    content = _content(response.body) if response.body else {}
    is_plain = "body" in content and response.headers.get("Content-Type") == "application/json"
    headers = {name: value for name, value in response.headers.items() if not (is_plain and name == "Content-Type")}
    if headers:
        entry["headers"] = headers
    faults = {"latency_s": response.latency_s, "drop": response.drop, "truncate": response.truncate}
    return entry | {name: value for name, value in faults.items() if value} | content


def describe_event(event: Event, own_url: str | None) -> Entry:
    """Return a webhook as an entry: unsigned, with its URL only if it is not the shop's own."""
    entry: Entry = {"eventId": event.event_id, "type": event.type, "attempt": event.attempt, "data": dict(event.data)}
    return entry if event.url == own_url else {**entry, "url": event.url}


def to_response(entry: Mapping[str, Any], shift_s: float) -> Response:
    """Return the response of an entry, with its times moved forward."""
    faults = {name: entry[name] for name in ("latency_s", "drop", "truncate") if name in entry}
    headers = dict(entry.get("headers", {}))
    if "body" not in entry:
        return Response(entry["status"], headers, entry.get("text", "").encode(errors="surrogateescape"), **faults)
    plain = json_response(entry["status"], shifted(entry["body"], shift_s))
    return Response(plain.status, {**plain.headers, **headers}, plain.body, **faults)


def shifted(value: Any, shift_s: float) -> Any:
    """Return JSON with the times of Kaspi's documents moved by so many seconds."""
    if isinstance(value, list):
        return [shifted(one, shift_s) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: rfc3339(seconds(one) + shift_s) if name in TIMES and _is_time(one) else shifted(one, shift_s)
        for name, one in value.items()
    }


def seconds(text: str) -> float:
    """Return the Unix seconds of a time as Kaspi writes it; raises `ValueError` for another text."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone")
    return moment.timestamp()


def difference(expected: Mapping[str, Any] | None, found: Mapping[str, Any]) -> str:
    """Show how a request differs from the one in the cassette, line by line."""
    before = _lines(expected) if expected else []
    lines = difflib.unified_diff(before, _lines(found), "in the cassette", "sent now", lineterm="", n=1000)
    return "\n".join(line for line in lines if not line.startswith("@@"))


def _content(body: bytes) -> Entry:
    """Return a body as JSON if that is the same document, else as text."""
    try:
        return {"body": json.loads(body)}
    except (ValueError, RecursionError):
        return {"text": body.decode(errors="surrogateescape")}


def _lines(entry: Mapping[str, Any]) -> list[str]:
    return json.dumps(entry, indent=2, ensure_ascii=False, sort_keys=True).splitlines()


def _errors(value: Mapping[str, Any]) -> list[str]:
    """List the mistakes of a document whose head is right."""
    if value["cassette"] != VERSION:
        return [f"cassette: must be {VERSION}"]
    if not _is_time(value["began_at"]):
        return [f"began_at: {_TIME_IS}"]
    return [
        error for number, entry in enumerate(value["story"], 1) for error in _entry_errors(entry, f"entry {number}")
    ]


def _entry_errors(entry: object, name: str) -> list[str]:
    if isinstance(entry, dict) and "webhook" in entry:
        errors = schema_errors(entry, {"webhook": _EVENT}, name)
        has_time = errors or _is_time(entry["webhook"]["data"]["timestamp"])
        return errors if has_time else [f"{name}.webhook.data.timestamp: {_TIME_IS}"]
    return schema_errors(entry, _EXCHANGE, name)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and seconds(value) >= 0
    except ValueError:
        return False
