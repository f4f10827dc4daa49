"""One shape for every error, also for those of the host and of Django."""

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions

from kaspi_delivery_django.api.problems import handle
from kaspi_delivery_django.exceptions import UsageError
from kaspi_delivery_django.services.errors import AdapterFailed


class InvalidToken(exceptions.AuthenticationFailed):
    """The host's own, as those of JWT packages."""

    default_code = "token_not_valid"


class Conflict(exceptions.APIException):
    """The host's own, with a table of texts."""

    status_code = 409
    default_detail = {"detail": "Locked by the warehouse."}


@pytest.mark.parametrize(
    ("err", "status", "code"),
    [
        (UnreadablePostError(), 400, "unreadable"),
        (exceptions.ParseError(), 400, "unreadable"),
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "permission_denied"),
        (AdapterFailed("it raised"), 422, "adapter_failed"),
        (UsageError("no such account"), 400, "invalid_input"),
        (exceptions.ValidationError(["wrong"]), 400, "invalid_input"),
        (InvalidToken(), 401, "authentication_failed"),
        (Conflict(), 409, "not_allowed"),
        (exceptions.APIException(), 500, "error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_the_code_of_what_it_is(err, status, code):
    """By its class or a parent's, else by its status; with a text."""
    answer = handle(err, {})
    assert (answer.status_code, answer.data["status"], answer.data["code"]) == (status, status, code)
    assert isinstance(answer.data["detail"], str)


def test_a_mistake_of_ours_is_djangos_to_report():
    """With its own page and mail."""
    assert handle(ValueError(), {}) is None
