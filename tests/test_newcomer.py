"""A fresh project follows README.md."""

import sys

from tests import newcomer


def test_a_paid_order_is_delivered(tmp_path):
    """Three steps, two terminals, one order."""
    project = newcomer.Project(tmp_path, sys.executable)
    project.create()
    assert project.sell() == ["order-1", "delivered"]
