"""Problem answers (RFC 9457): one shape for every error, with a stable code."""

from collections.abc import Mapping
from http.client import responses
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from kaspi_delivery_django.exceptions import DeliveryError, UsageError
from kaspi_delivery_django.services.db import is_data_error, is_transient
from kaspi_delivery_django.services.errors import AdapterFailed, translated

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "1"}
# Each code, its HTTP status, and the text when there is none that is more exact. docs/rest-api.md lists them.
CODES: Mapping[str, tuple[int, str]] = {
    "not_authenticated": (401, "The request has no credentials."),
    "authentication_failed": (401, "The credentials are wrong."),
    "permission_denied": (403, "The user lacks a permission."),
    "not_found": (404, "There is no such delivery."),
    "order_not_found": (404, "No order is found by what the body names."),
    "method_not_allowed": (405, "The address has no such method."),
    "unreadable": (400, "The body is not a JSON object."),
    "unsupported_media_type": (415, "Send the body as application/json."),
    "too_large": (413, "The body is too large."),
    "invalid_input": (400, "Some values cannot be used: see `errors`."),
    "invalid_cursor": (400, "The cursor is not one of this list: begin without it, and follow `next`."),
    "not_allowed": (409, "The delivery does not allow the action now."),
    "adapter_failed": (422, "The shop's adapter fails on the order."),
    "key_reused": (422, "This Idempotency-Key was used for another request: take a new one."),
    "throttled": (429, "There are too many requests."),
    "busy": (503, "The database is busy: send the same request again."),
    "error": (500, "The request was refused."),
}
_CODES_OF_DRF: Mapping[type[exceptions.APIException], str] = {
    exceptions.ValidationError: "invalid_input",
    exceptions.ParseError: "unreadable",
    exceptions.AuthenticationFailed: "authentication_failed",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.PermissionDenied: "permission_denied",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "throttled",
}


class Problem(exceptions.APIException):
    """An error with a code of `CODES`. `errors` are texts by the name of the value that they are about."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        status, text = CODES[code]
        super().__init__(detail or text)
        self.code, self.status_code, self.errors = code, status, errors
        self.headers = RETRY_AFTER if code == "busy" else headers or {}

    @property
    def is_final(self) -> bool:
        """Whether a rule has refused the action: the same request gets the same answer."""
        return self.code == "not_allowed"


def refusal_of(err: DeliveryError) -> Problem:
    """Return the problem of an action that was refused: by a rule, or because the shop's adapter fails."""
    return Problem("adapter_failed" if isinstance(err.__cause__, AdapterFailed) else "not_allowed", str(err))


def handle(err: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer an exception of a view; None for one that is a mistake of ours, which Django reports."""
    known = _problem_of(err)
    response = exception_handler(err if known is None else known, dict(context))
    if response is None:
        return None
    code = known.code if known else _code_of(err)
    for name, value in known.headers.items() if known else ():
        response[name] = value
    status = response.status_code
    response.data = {
        "type": "about:blank",
        "title": responses.get(status, ""),
        "status": status,
        "code": code,
        "detail": _detail(known or err, code),
    }
    errors = known.errors if known else _errors_of(err)
    if errors:
        response.data["errors"] = errors
    response.content_type = MEDIA_TYPE
    return response


def _problem_of(err: Exception) -> Problem | None:
    """Return the problem that an exception of ours, or of the database, stands for."""
    if isinstance(err, Problem):
        return err
    if isinstance(err, DeliveryError):
        return refusal_of(err)
    if isinstance(err, AdapterFailed | UsageError):
        code = "adapter_failed" if isinstance(err, AdapterFailed) else "invalid_input"
        return Problem(code, translated(str(err)))
    if isinstance(err, RequestDataTooBig):  # the project's DATA_UPLOAD_MAX_MEMORY_SIZE
        return Problem("too_large")
    if isinstance(err, UnreadablePostError):
        return Problem("unreadable", "The connection broke before the body was read.")
    return _problem_of_database(err) if isinstance(err, DatabaseError) else None


def _problem_of_database(err: DatabaseError) -> Problem | None:
    if is_transient(err):
        return Problem("busy")
    return Problem("invalid_input", "The database cannot store or compare a value.") if is_data_error(err) else None


def _code_of(err: Exception) -> str:
    if isinstance(err, Http404):
        return "not_found"
    if isinstance(err, PermissionDenied):
        return "permission_denied"
    own = next((code for kind, code in _CODES_OF_DRF.items() if isinstance(err, kind)), None)
    status = getattr(err, "status_code", 500)
    return own or next((code for code, (known, _text) in CODES.items() if known == status), "error")


def _detail(err: Exception, code: str) -> str:
    """Return one text: the detail of a host's exception may be a table of texts."""
    detail = getattr(err, "detail", None)
    text = detail.get("detail") if isinstance(detail, Mapping) else detail
    return str(text) if isinstance(text, str) else CODES[code][1]


def _errors_of(err: Exception) -> Mapping[str, Any] | None:
    if not isinstance(err, exceptions.ValidationError):
        return None
    return err.detail if isinstance(err.detail, dict) else {"non_field_errors": err.detail}
