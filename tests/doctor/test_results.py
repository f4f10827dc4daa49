"""Several verdicts become one."""

import pytest

from kaspi_delivery_django.doctor.results import Outcome, worst

PASS, FAIL, YOURS = Outcome


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [([], YOURS), ([PASS, PASS], PASS), ([PASS, YOURS], YOURS), ([PASS, YOURS, FAIL], FAIL), ([FAIL], FAIL)],
)
def test_the_worst_one_counts(verdicts, expected):
    """A failure fails; what is open, or was not looked at, stays open."""
    assert worst(verdicts) is expected
