"""Which of the addresses that Kaspi sends us may become links."""

from urllib.parse import urlsplit

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import Delivery


def allowed_tracking_url(delivery: Delivery) -> str:
    """Return the tracking address if it is https and on a host in TRACKING_HOSTS; else nothing."""
    try:
        parts = urlsplit(delivery.tracking_url)
    except ValueError:
        return ""
    is_plain = delivery.tracking_url.isascii() and delivery.tracking_url.isprintable()  # urlsplit drops what is not
    safe = is_plain and parts.scheme == "https" and parts.netloc in conf.current().tracking_hosts
    return delivery.tracking_url if safe else ""
