"""Call the shop's adapter in the project's locale; describe exceptions without personal data, and translate them."""

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_noop as stored

from kaspi_delivery_django.client.exceptions import UsageError

Params = ParamSpec("Params")
Result = TypeVar("Result")


OWN_ERRORS = (  # stored in English by code that knows no reader, and in part no Django
    stored("Kaspi answered the booking with an error"),
    stored("Kaspi answered the status request with an error"),
    stored("Kaspi answered the cancellation with an error"),
    stored("Kaspi answered the request of a test webhook with an error"),
    stored("no such address at Kaspi: correct BASE_URL"),
    stored("Kaspi no longer serves this version of its API: upgrade kaspi-delivery-django"),
    stored("could not connect to Kaspi"),
    stored("no whole answer from Kaspi"),
    stored("the body cannot be decompressed"),
    stored("a chunk has no length"),
    stored("an interim answer only"),
    stored("the answer is larger than 1 MiB"),
    stored("a success without a usable deliveryId"),
    stored("a success that names another order"),
    stored("the answer names no order"),
    stored("still not cancelled after the second request"),
    stored("the body cannot be read"),
    stored("the body is not an object"),
    stored("the database cannot store a value of this row"),
    stored("another order has this external_order_id already"),
    stored("ORDER_ADAPTERS has no adapter for this order's model"),
    stored("orders with a primary key of several columns cannot be looked up: adapt another model"),
    stored("account must return an alias in KASPI_DELIVERY['ACCOUNTS']"),
    stored("external_order_id must return 1 to 128 printable ASCII characters"),
    stored("external_order_id must be 1 to 128 printable ASCII characters"),
    stored("build_request must return a DeliveryRequest"),
    stored("build_return must return a DeliveryRequest"),
    stored("external_order_id is too long for a return: shorten it"),
    stored("external_order_id is too long for the key of a parcel: shorten it"),
    stored("parcels must return None or a mapping of keys to DeliveryRequests"),
    stored("parcels no longer has this parcel's key: cancel it, or bring the key back"),
    stored(
        'a key of parcels must be at most 20 letters, digits and hyphens, such as "almaty" or "box-b2": each word'
        ' begins with a letter and is not "return", "create", "cancel", "refresh" or "link", and no two keys differ'
        " in case alone"
    ),
    stored(
        "The order is in the database %(other)s, which no worker reads: deliveries are in %(own)s. Route both to one"
        " database, or save it there."
    ),
    stored("%(name)s must be a text that is not empty"),
    stored("%(name)s must not contain NUL or lone surrogates"),
    stored("%(name)s must be a whole number from %(least)s to %(most)s: write int(…)"),
    stored("%(name)s must be a Contact"),
    stored("%(name)s must look like +7 727 111 0000: digits only, and an extension belongs in the notes"),
    stored("not_before must return None or a datetime with a time zone"),
    stored("the reason has %(count)s characters: shorten it to %(most)s"),
    stored("no answer from the endpoint"),
    stored("%(status)s from the endpoint"),
    stored("it wants no more of them"),
    stored("a later message replaces it"),
    stored("the order was booked again"),
    stored("the order was deleted"),
    stored("the customer's data is anonymized"),
    stored("MESSAGES has no channel %(name)s"),
    stored("this is no e-mail address"),
    stored("the mail server refuses the recipient"),
    stored("Telegram refuses it"),
    stored("customer_recipients must return a dict of channel to recipient"),
    stored("customer_recipients must return texts of at most %(most)s characters"),
    stored("It can no longer be cancelled: its status is %(status)s."),
)


FIELDS = (  # whose errors are among those
    stored("the sender's name (pickup.contact.name)"),
    stored("the sender's phone (pickup.contact.phone)"),
    stored("the sender's address (pickup.address)"),
    stored("the notes about the sender (pickup.notes)"),
    stored("the recipient's name (dropoff.contact.name)"),
    stored("the recipient's phone (dropoff.contact.phone)"),
    stored("the recipient's address (dropoff.address)"),
    stored("the notes about the recipient (dropoff.notes)"),
    stored("the phone"),
    stored("the reason"),
)


_VALUES = {"status": partial(pgettext, "status")}  # the others are names of fields


class AdapterFailed(Exception):
    """The shop's adapter raised. The text has the exception's type and line, and no customer's data."""


def describe(err: BaseException) -> str:
    """Return the exception's type and the module and line that raised it: staff see no path of the server.

    Of our own exceptions it is the text, which is safe: that is how an adapter speaks to staff.
    """
    frames = list(traceback.walk_tb(err.__traceback__))
    place = "".join(f" at {frame.f_globals.get('__name__')}:{line}" for frame, line in frames[-1:])
    return one_line(err if isinstance(err, UsageError | AdapterFailed) else f"{type(err).__name__}{place}")


def one_line(value: object) -> str:
    """Return a value's text with control characters escaped, so that it cannot forge a log line."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(value))


@contextmanager
def project_locale() -> Iterator[None]:
    """Activate the project's LANGUAGE_CODE and TIME_ZONE, whatever the request's; restore both afterwards.

    Orders are read inside it, too: translated models remember the language that they were read in.
    """
    with translation.override(settings.LANGUAGE_CODE), timezone.override(None):
        yield


def call_adapter(method: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
    """Call the shop's adapter in the project's locale. Raises `AdapterFailed` for any exception."""
    try:
        with project_locale():
            return method(*args, **kwargs)
    except Exception as err:
        raise AdapterFailed(describe(err)) from err


def call_adapter_predicate(method: Callable[Params, object], /, *args: Params.args, **kwargs: Params.kwargs) -> bool:
    """Call the shop's adapter for a bool. A lazy answer, such as a queryset, is evaluated inside the locale."""
    return call_adapter(lambda: bool(method(*args, **kwargs)))


def translated(text: str) -> str:
    """Return a stored error in the reader's language as far as the text is ours; Kaspi's own words stay."""
    for known in OWN_ERRORS:
        if found := _pattern(known).match(text):
            rest = text[found.end() :]
            mark = rest[:2] if rest[:2] in {", ", ": "} else ""
            values = {name: _VALUES.get(name, gettext)(value) for name, value in found.groupdict().items()}
            return f"{gettext(known) % values}{mark}{translated(rest.removeprefix(mark))}"
    return text


def translated_refusal(text: str) -> str:
    """Return in the reader's language why an action was refused: a whole text of ours, or an error with values."""
    return translated(gettext(text) if text else "")


@lru_cache
def _pattern(known: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>[\\w.'() ]+?)", re.escape(known)))
