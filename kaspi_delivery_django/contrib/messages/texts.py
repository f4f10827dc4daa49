"""The text of a message: templates that a shop overrides, in the customer's language and the project's time zone."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.template import TemplateDoesNotExist
from django.template.loader import select_template
from django.utils import translation
from django.utils.translation import gettext

from kaspi_delivery_django import statuses
from kaspi_delivery_django.contrib.messages import conf
from kaspi_delivery_django.contrib.messages.backends import Content
from kaspi_delivery_django.contrib.messages.conf import Channel
from kaspi_delivery_django.formats import DAY_AND_TIME, time_label
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.errors import project_locale
from kaspi_delivery_django.statuses import customer_label, status_explanation
from kaspi_delivery_django.tracking import tracking_path

FOLDER = "kaspi_delivery/messages"
MAX_SUBJECT = 200


def content_of(change: StatusChange, channel: Channel, *, order: Model, language: str) -> Content:
    """Return the message about a status change. An unknown language is LANGUAGE_CODE."""
    with project_locale(), translation.override(supported(language)):
        context = context_of(change, order)
        status = f"return_{change.to_status}" if change.delivery.is_return else change.to_status
        own = [f"{stem}{suffix}.txt" for stem in (status, "message") for suffix in (f"_{channel.name}", "")]
        text = _render(own, context)
        if not channel.backend.has_subject:
            return Content(text=text)
        subject = " ".join(_render([f"{status}_subject.txt", "subject.txt"], context).split())[:MAX_SUBJECT]
        return Content(text=text, subject=subject, html=_render([f"{status}.html", "message.html"], context))


def supported(language: str) -> str:
    """Return a language that the project can speak: this one, or LANGUAGE_CODE."""
    try:
        return translation.get_supported_language_variant(language)
    except LookupError:
        return settings.LANGUAGE_CODE


def context_of(change: StatusChange, order: Model) -> dict[str, Any]:
    """Return the variables of the templates, in the active language."""
    delivery = change.delivery
    label = customer_label(change.to_status, is_return=delivery.is_return)
    number, parcel = _number(delivery), _parcel(delivery)
    return {
        "order": order,
        "change": change,
        "delivery": delivery,
        "status": change.to_status,
        "label": label,
        "explanation": status_explanation(change.to_status, is_return=delivery.is_return),
        "number": number,
        "parcel": parcel,
        "headline": _headline(number, parcel, label, is_return=delivery.is_return),
        "expected": _expected(change, delivery),
        "url": link(delivery),
    }


def link(delivery: Delivery) -> str:
    """Return our tracking page's URL; Kaspi's if ORIGIN is not set, or our page is not in the URLconf."""
    origin, path = conf.current().origin, tracking_path(delivery)
    return f"{origin}{path}" if origin and path else delivery.allowed_tracking_url


def listed(groups: Sequence[tuple[str, Sequence[str]]], ending: str) -> str:
    """Return lines under headings, without the groups that are empty."""
    parts = ["\n".join((heading, *(f"• {line}" for line in lines))) for heading, lines in groups if lines]
    return "\n\n".join(filter(None, (*parts, ending)))


def _number(delivery: Delivery) -> str:
    """Return the order's name for its customer; its key for a model without `__str__`, whose name is for developers."""
    if delivery.label_is_personal:
        return ""
    is_djangos = delivery.order_label.endswith(f" object ({delivery.object_id})")
    return delivery.object_id if is_djangos else delivery.order_label


def _parcel(delivery: Delivery) -> str:
    """Return the key of the parcel; empty where the order goes in one."""
    same = {"content_type": delivery.content_type_id, "object_id": delivery.object_id}
    others = Delivery.objects.filter(**same, environment=delivery.environment).exclude(parcel=delivery.parcel)
    return delivery.parcel if delivery.parcel and others.exists() else ""


def _headline(number: str, parcel: str, label: str, *, is_return: bool) -> str:
    """Begin with the order's number, where it has one. A name that has letters, as "Order 742", stays as it is."""
    name = f"{number} ({parcel})" if number and parcel else number or parcel
    if is_return:
        return ": ".join(filter(None, (name, gettext("Return"), label)))
    if not number or any(map(str.isalpha, number)):
        return ": ".join(filter(None, (name, label)))
    return gettext("Delivery of order %(number)s: %(status)s") % {"number": name, "status": label}


def _expected(change: StatusChange, delivery: Delivery) -> str:
    due_at = delivery.delivery_by
    is_awaited = change.to_status in statuses.OPEN and not delivery.is_return
    if due_at is None or not is_awaited or due_at <= clock.now():
        return ""
    return f"{gettext('Expected by:')} {time_label(due_at, DAY_AND_TIME)}"


def _render(names: Sequence[str], context: dict[str, Any]) -> str:
    """Return the text of the first template that exists; empty for none."""
    try:
        template = select_template([f"{FOLDER}/{name}" for name in names])
    except TemplateDoesNotExist:
        return ""
    return str(template.render(context)).strip()
