"""The body of an HTTP/1.1 request, read as its headers announce it."""

import re
from email.message import Message
from io import BufferedIOBase

from kaspi_delivery_django.sandbox.answers import Answer, refusal

MAX_BODY = 10 * 1024 * 1024
MAX_DISCARDED = 8 * MAX_BODY
_PIECE = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,20}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?\r?\n")
_MAX_LINE = 4096


def read_body(headers: Message, stream: BufferedIOBase) -> bytes | Answer:
    """Return the whole body, or the answer to one that cannot be read; the connection ends with it."""
    lengths = {length.strip() for length in headers.get_all("Content-Length", [])}
    codings = [coding.strip().lower() for coding in headers.get_all("Transfer-Encoding", [])]
    if codings:
        is_clear = codings == ["chunked"] and not lengths
        return _read_chunks(stream) if is_clear else _bad("Send a Content-Length, or Transfer-Encoding: chunked.")
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        return _bad("Content-Length must be one whole number.")
    return _read_exactly(stream, int(next(iter(lengths), "0")))


def _read_exactly(stream: BufferedIOBase, length: int) -> bytes | Answer:
    if length > MAX_BODY:
        _discard(stream, min(length, MAX_DISCARDED))
        return _too_large()
    body = stream.read(length)
    return body if len(body) == length else _bad("The body ended before its Content-Length.")


def _read_chunks(stream: BufferedIOBase) -> bytes | Answer:
    body = b""
    while chunk := _CHUNK.fullmatch(stream.readline(_MAX_LINE)):
        size = int(chunk[1], 16)
        if size == 0:
            _skip_trailers(stream)
            return body
        if len(body) + size > MAX_BODY:
            _discard(stream, MAX_DISCARDED)
            return _too_large()
        body += stream.read(size)
        if stream.readline(_MAX_LINE).strip(b"\r\n"):
            break
    return _bad("The chunks of the body cannot be read.")


def _skip_trailers(stream: BufferedIOBase) -> None:
    while stream.readline(_MAX_LINE).strip():
        pass


def _discard(stream: BufferedIOBase, length: int) -> None:
    """Read what the client is sending, or it would see a reset instead of the answer."""
    while length > 0 and (piece := stream.read(min(length, _PIECE))):
        length -= len(piece)


def _too_large() -> Answer:
    return refusal(413, "too_large", "Send a body of 10 MiB at most.")


def _bad(message: str) -> Answer:
    return refusal(400, "bad_request", message)
