"""The settings as a whole, and those that all accounts share."""

import re
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured

from kaspi_delivery_django import conf, lifecycle
from kaspi_delivery_django.checks.readable import settings_or_none
from kaspi_delivery_django.client.types import is_word

LIBRARIES = {"celery": ("celery",), "django_tasks": ("django.tasks", "django_tasks")}  # any one of them
HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?")


def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """E001: KASPI_DELIVERY cannot be read. E007: times would not be aware."""
    found: list[CheckMessage] = []
    try:
        conf.current()
    except ImproperlyConfigured as err:
        hint = f"Correct {conf.SETTING} in your settings; docs/settings.md lists its keys."
        found.append(Error(str(err), hint=hint, id="kaspi_delivery.E001"))
    if not settings.USE_TZ:
        hint = "Write USE_TZ = True: Kaspi's times are moments, not wall clocks."
        found.append(Error("USE_TZ is off.", hint=hint, id="kaspi_delivery.E007"))
    return found


def check_runner(**_kwargs: Any) -> list[CheckMessage]:
    """E008: the library of the runner is not installed, so that nothing would tell its workers."""
    found = settings_or_none()
    runner = found.runner if found else ""
    if runner not in LIBRARIES or any(map(find_spec, LIBRARIES[runner])):
        return []
    hint = f"Run pip install 'kaspi-delivery-django[{runner.replace('_', '-')}]', or write RUNNER=\"worker\"."
    return [Error(f'RUNNER is "{runner}", which is not installed.', hint=hint, id="kaspi_delivery.E008")]


def check_tracking_hosts(**_kwargs: Any) -> list[CheckMessage]:
    """W016: a host of TRACKING_HOSTS that no address can have."""
    found = settings_or_none()
    odd = [host for host in found.tracking_hosts if not HOST.fullmatch(host)] if found else []
    hint = 'Write bare host names in small letters, as TRACKING_HOSTS=["track.kaspi.kz"]; there are no wildcards.'
    text = "It is no host name: tracking addresses there become no links."
    return [Caution(text, hint=hint, obj=repr(host), id="kaspi_delivery.W016") for host in odd]


def check_final_statuses(**_kwargs: Any) -> list[CheckMessage]:
    """W037: a word of FINAL_STATUSES that changes nothing."""
    found = settings_or_none()
    words = found.final_statuses if found else ()
    useless = [word for word in words if word in lifecycle.RANKS or not is_word(word)]
    hint = (
        'Name statuses as Kaspi writes them, and only those that docs/settings.md does not list: ["returned", "lost"].'
    )
    text = "FINAL_STATUSES names a status that is known already, or that no status can be: it changes nothing."
    return [Caution(text, hint=hint, obj=repr(word), id="kaspi_delivery.W037") for word in useless]


def check_inline(**_kwargs: Any) -> list[CheckMessage]:
    """W017: customers wait for Kaspi."""
    found = settings_or_none()
    if found is None or found.runner != "inline":
        return []
    hint = 'Write RUNNER="worker", and keep manage.py kaspi_worker running.'
    text = 'RUNNER is "inline": a customer may wait up to 5 s for Kaspi.'
    return [Caution(text, hint=hint, id="kaspi_delivery.W017")]
