"""The machine plays, and every promise holds after every step.

By default it plays as many runs as fit into the everyday suite, the same ones each time, and prints the steps of a run
that breaks a promise. For a long play, different each time, which also looks for the shortest list of steps (that may
take minutes, hence no timeout):

    KASPI_MACHINE_EXAMPLES=2000 pytest -o faulthandler_timeout=0 tests/promises/test_machine.py

`KASPI_MACHINE_STEPS` sets how many steps a run may have.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.promises.machine import Machine

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = os.environ.get("KASPI_MACHINE_EXAMPLES")
STEPS = int(os.environ.get("KASPI_MACHINE_STEPS", "40"))


def settings_of(examples, **changes):
    """Return hypothesis's settings for so many runs, the same ones each time."""
    own = {"stateful_step_count": STEPS, "derandomize": True, "phases": [Phase.generate], **changes}
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        **own,
    )


def test_every_promise_holds_whatever_happens():
    """Orders, workers, Kaspi, time and staff in any order: the promises stand after every step."""
    play = settings_of(60)
    if EXAMPLES:
        play = settings_of(int(EXAMPLES), derandomize=False, phases=[Phase.generate, Phase.shrink])
    run_state_machine_as_test(Machine, settings=play)
