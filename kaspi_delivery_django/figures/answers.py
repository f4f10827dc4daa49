"""What a failed try was answered with, in few words: by status, or by the class of it."""

from http import HTTPStatus

NO_RESPONSE = "no_answer"
CLASSES = ("4xx", "5xx", NO_RESPONSE, "other")
_KNOWN = frozenset(HTTPStatus)


def word(http_status: int | None) -> str:
    """Return a status that HTTP knows as it is; of any other its class, so that the words stay few."""
    if http_status is None:
        return NO_RESPONSE
    return str(http_status) if http_status in _KNOWN else f"{http_status // 100}xx"


def class_of(http_status: int | None) -> str:
    """Return one of `CLASSES`; a success that could not be used, and a redirect, are "other"."""
    if http_status is None:
        return NO_RESPONSE
    name = f"{http_status // 100}xx"
    return name if name in CLASSES else "other"
