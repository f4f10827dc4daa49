"""A command as a program calls it."""

import io

import pytest
from django.core.management import CommandError, call_command


@pytest.fixture
def run():
    """Run a command; return its exit code, what it printed, and its errors."""

    def call(*arguments, out=None):
        out, err = out or io.StringIO(), io.StringIO()
        try:
            call_command(*arguments, stdout=out, stderr=err)
        except SystemExit as end:
            return end.code, out.getvalue(), err.getvalue()
        except CommandError as wrong:
            return wrong.returncode, out.getvalue(), str(wrong)
        return 0, out.getvalue(), err.getvalue()

    return call
