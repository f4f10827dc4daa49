"""Kaspi's base URLs, and which other addresses requests may be sent to."""

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

PRODUCTION_URL = "https://api.kaspi.kz/delivery"
SANDBOX_URL = "https://sandbox.kaspi.kz/delivery"
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
_PLAIN_URL = re.compile(r"[A-Za-z0-9._~:/%\[\]-]+")
_PLACE = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9_-]|\.(?!\.))*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")


def base_url_problem(base_url: str) -> str:
    """Return why requests cannot be sent to this address; empty for https, and for http on this machine."""
    try:
        parts = urlsplit(base_url)
        host, _port = parts.hostname, parts.port
        if parts.netloc.startswith("["):
            IPv6Address(host)
    except ValueError:
        return "the base URL cannot be read as an address"
    local = parts.scheme == "http" and host in LOCAL_HOSTS
    if not (host and (parts.scheme == "https" or local)):
        return "the base URL must start with https:// (http:// only for localhost)"
    if not (_PLAIN_URL.fullmatch(base_url) and _PLACE.fullmatch(parts.netloc)):
        return "the base URL must be a plain address, without user, query or fragment"
    return ""
