"""Due calls through claim, HTTP of 50 ms and settlement, with 1, 8 and 32 threads: beside a loop written by hand."""

from benchmarks.dispatch.races import SHOWN, run

__all__ = ["SHOWN", "run"]
