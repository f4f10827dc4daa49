"""A compressed answer, which was not asked for, is read within the same bound, whatever `urllib3` is installed."""

import gzip
import json
import tracemalloc
import zlib

import pytest

from kaspi_delivery_django.client import OutcomeUnknown
from kaspi_delivery_django.client import http as client_http
from tests.client.conftest import BOOKED, http
from tests.client.test_http import create

PLAIN = json.dumps(BOOKED).encode()
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(PLAIN)),
        ("X-GZIP", gzip.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("identity", PLAIN),
    ],
    ids=["gzip", "X-GZIP", "deflate", "identity"],
)
def test_it_is_read(server, connect, encoding, body):
    """A proxy in between may compress."""
    server.answer(http(201, body=body, headers=[f"Content-Encoding: {encoding}"]))
    assert create(connect(server)).delivery_id == "dlv_1"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b" " * (MIB + 1))),
        ("gzip", gzip.compress(PLAIN)[:-9]),
        ("gzip", PLAIN),
        ("br", PLAIN),
        ("gzip, gzip", gzip.compress(gzip.compress(PLAIN))),
    ],
    ids=["too large", "cut", "not compressed", "another encoding", "twice"],
)
def test_what_cannot_be_read_is_of_unknown_outcome(server, connect, encoding, body):
    """Kaspi may have booked."""
    server.answer(http(201, body=body, headers=[f"Content-Encoding: {encoding}"]))
    with pytest.raises(OutcomeUnknown):
        create(connect(server))


def test_a_bomb_takes_little_memory():
    """512 MiB in half a megabyte are not unpacked."""
    bomb = gzip.compress(bytes(512 * MIB), compresslevel=9, mtime=0)
    assert len(bomb) < MIB
    tracemalloc.start()
    try:
        assert len(client_http._inflated(bomb, "gzip")) == MIB + 1
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def test_one_mebibyte_is_allowed(server, connect):
    """To the byte."""
    body = PLAIN + b" " * (MIB - len(PLAIN))
    server.answer(http(201, body=gzip.compress(body), headers=["Content-Encoding: gzip"]))
    assert create(connect(server)).delivery_id == "dlv_1"
