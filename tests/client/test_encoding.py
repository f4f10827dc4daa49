import hashlib

from kaspi_delivery_django.client import encoding


def test_digest():
    """A payload's digest is the SHA-256 of its UTF-8 bytes."""
    assert encoding.digest("Ә") == hashlib.sha256(b"\xd3\x98").hexdigest()
