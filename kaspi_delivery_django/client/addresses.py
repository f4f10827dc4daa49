"""Where Kaspi is, and which addresses a client may be given."""

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from kaspi_delivery_django.client.exceptions import UsageError

PRODUCTION_URL = "https://api.kaspi.kz/delivery"
SANDBOX_URL = "https://sandbox.kaspi.kz/delivery"
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
_PLAIN_URL = re.compile(r"[A-Za-z0-9._~:/%\[\]-]+")
_PLACE = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9_-]|\.(?!\.))*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")


def check_base_url(base_url: str) -> str:
    """Return the base URL without its last slash; raise `UsageError` unless it is https.

    Plain http is taken for this machine only (the local sandbox).
    """
    try:
        parts = urlsplit(base_url)
        host, _port = parts.hostname, parts.port
        if parts.netloc.startswith("["):
            IPv6Address(host)
    except ValueError as err:
        raise UsageError("the base URL cannot be read as an address") from err
    local = parts.scheme == "http" and host in LOCAL_HOSTS
    if not (host and (parts.scheme == "https" or local)):
        raise UsageError("the base URL must start with https:// (http:// only for localhost)")
    if not (_PLAIN_URL.fullmatch(base_url) and _PLACE.fullmatch(parts.netloc)):
        raise UsageError("the base URL must be a plain address, without user, query or fragment")
    return base_url.rstrip("/")
