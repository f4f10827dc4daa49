"""A compressed answer, which was not asked for, is read within the same bound, whatever `urllib3` is installed."""

import gzip
import json
import tracemalloc
import zlib

import pytest

from kaspi_delivery_django.client import OutcomeUnknown
from kaspi_delivery_django.client import http as client_http
from tests.client.conftest import BOOKED, create, http, padded

PLAIN = json.dumps(BOOKED).encode()
MIB = 1024 * 1024
READABLE = [
    ("gzip", gzip.compress(padded(MIB))),
    ("X-GZIP", gzip.compress(PLAIN)),
    ("deflate", zlib.compress(PLAIN)),
    ("identity", PLAIN),
]
UNREADABLE = [
    pytest.param("gzip", gzip.compress(padded(MIB + 1)), id="too large"),
    pytest.param("gzip", gzip.compress(PLAIN)[:-9], id="cut"),
    pytest.param("gzip", PLAIN, id="not compressed"),
    pytest.param("br", PLAIN, id="another encoding"),
    pytest.param("gzip, gzip", gzip.compress(gzip.compress(PLAIN)), id="twice"),
]


@pytest.mark.parametrize(("encoding", "body"), READABLE, ids=[encoding for encoding, _body in READABLE])
def test_it_is_read(server, connect, encoding, body):
    """A proxy in between may compress, up to 1 MiB to the byte."""
    server.answer(http(201, body=body, headers=[f"Content-Encoding: {encoding}"]))
    assert create(connect(server)).delivery_id == "dlv_1"


@pytest.mark.parametrize(("encoding", "body"), UNREADABLE)
def test_what_cannot_be_read_is_of_unknown_outcome(server, connect, encoding, body):
    """Kaspi may have booked."""
    server.answer(http(201, body=body, headers=[f"Content-Encoding: {encoding}"]))
    with pytest.raises(OutcomeUnknown):
        create(connect(server))


def test_a_bomb_takes_little_memory():
    """32 MiB in 32 KiB are not unpacked."""
    bomb = gzip.compress(bytes(32 * MIB), mtime=0)
    assert len(bomb) < MIB
    tracemalloc.start()
    try:
        assert len(client_http._inflated(bomb, "gzip")) == MIB + 1
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
