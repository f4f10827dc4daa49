"""The ways in which shops write one key of one order, and what each of them means."""

import re
import uuid

from tests.shop.models import AppOrder, Order

MODELS = (Order, AppOrder)
OF_NUMBERS = ("{}", "0{}", " {}", "00{}")
DIGITS_OF_A_UUID = 32


def key_of(model, number):
    """Return the key of the order with this number, as the database returns it."""
    return number if model is Order else uuid.UUID(int=number + (0xABCDEF << 100))


def spelled(key, which):
    """Return the key as a form, an app on a phone, or an import file holds it; 0 is as it is."""
    if which == 0:
        return key
    if isinstance(key, int):
        return OF_NUMBERS[which % len(OF_NUMBERS)].format(key)
    ways = (str(key), str(key).upper(), key.hex, key.hex.upper(), f"{{{key}}}", key.urn)
    return ways[which % len(ways)]


def canonical(text):
    """Return the key in a text, as `str` of what the database returns; the number of a later delivery may follow it."""
    digits = re.sub(r"urn:uuid:|[{}-]", "", text)
    if len(digits) >= DIGITS_OF_A_UUID:
        return str(uuid.UUID(digits[:DIGITS_OF_A_UUID]))
    return str(int(text.split("-")[0]))


def order_in(external_order_id):
    """Return the key of the order that Kaspi knows by this name, however it is spelled there."""
    return canonical(external_order_id.removeprefix("order-").partition("-return")[0])
