import inspect
import pickle

import pytest

from kaspi_delivery_django.client import KaspiError, UsageError, exceptions
from tests.client.conftest import API_KEY, PERSONAL

KINDS = {name: kind for name, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, KaspiError)}
OUTCOME_UNKNOWN = {
    "PayloadMismatch",
    "OutcomeUnknown",
    "ServerFault",
    "InProgress",
    "UnusableAnswer",
    "ForeignDelivery",
}


def test_outcome_known():
    """Only errors after which Kaspi may have acted leave the outcome open."""
    assert {name for name, kind in KINDS.items() if not kind.outcome_known} == OUTCOME_UNKNOWN


def test_two_roots():
    """What Kaspi did and what the caller did share no class of ours."""
    assert not issubclass(UsageError, KaspiError)
    assert issubclass(UsageError, ValueError)


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"WebhookRejected"}))
def test_every_class(name):
    """Kaspi's message may quote a customer: it is kept, never shown; and an error can cross a process border."""
    error = KINDS[name]("it failed", status=409, code="conflict", message=f"{' '.join(PERSONAL)} {API_KEY}")
    assert not any(secret in f"{error} {error!r}" for secret in (*PERSONAL, API_KEY))
    assert PERSONAL[0] in error.message
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (KINDS[name], "it failed (status=409 code=conflict)")


def test_a_rejection_has_a_reason():
    """A rejected webhook has a reason, in a word for logs."""
    error = exceptions.WebhookRejected("no signature")
    assert (str(error), error.reason) == ("webhook rejected: no signature", "no signature")
