import inspect
import pickle

import pytest

from kaspi_delivery_django.client import KaspiError, UsageError, exceptions
from tests.client.conftest import API_KEY, PERSONAL

KINDS = {name: kind for name, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, KaspiError)}
OUTCOME_KNOWN = {
    "KaspiError": True,
    "NotReached": True,
    "ConfigurationFault": True,
    "RateLimited": True,
    "Refused": True,
    "NotFound": True,
    "Conflict": True,
    "PayloadMismatch": False,
    "OutcomeUnknown": False,
    "ServerFault": False,
    "InProgress": False,
    "UnusableAnswer": False,
    "ForeignDelivery": False,
    "WebhookRejected": True,
    "MalformedEvent": True,
}


def test_every_class_is_in_the_table():
    """A new class has to say whether the outcome is known."""
    assert set(KINDS) == set(OUTCOME_KNOWN)


@pytest.mark.parametrize(("name", "known"), OUTCOME_KNOWN.items())
def test_outcome_known(name, known):
    """Only errors after which Kaspi may have acted leave the outcome open."""
    assert KINDS[name].outcome_known is known


def test_two_roots():
    """What Kaspi did and what the caller did share no class of ours."""
    assert not issubclass(UsageError, KaspiError)
    assert issubclass(UsageError, ValueError)


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({}, "it failed"),
        ({"status": 503}, "it failed (status=503)"),
        ({"status": 409, "code": "conflict"}, "it failed (status=409 code=conflict)"),
        ({"code": "conflict"}, "it failed (code=conflict)"),
        ({"retry_after_s": 5.0, "replayed": True}, "it failed"),
    ],
)
def test_text(facts, shown):
    """An error's text has the status and the code, where there are any."""
    assert str(KaspiError("it failed", **facts)) == shown


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"WebhookRejected"}))
def test_kaspis_own_words_stay_out(name):
    """Kaspi's message may quote a customer: it is kept, and never shown."""
    error = KINDS[name]("it failed", status=400, message=f"{' '.join(PERSONAL)} {API_KEY}")
    assert not any(secret in f"{error} {error!r}" for secret in (*PERSONAL, API_KEY))
    assert PERSONAL[0] in error.message


def test_a_rejection_has_a_reason():
    """A rejected webhook says why, in a word for logs."""
    error = exceptions.WebhookRejected("no signature")
    assert (str(error), error.reason) == ("webhook rejected: no signature", "no signature")


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"WebhookRejected"}))
def test_errors_survive_pickling(name):
    """An error can cross a process border, as a task runner may want."""
    error = pickle.loads(pickle.dumps(KINDS[name]("it failed", status=409, code="conflict")))
    assert (type(error), str(error)) == (KINDS[name], "it failed (status=409 code=conflict)")
