"""What a webhook costs, beside other ways to take it: 8 connections under gunicorn with 2 workers, and in process."""

from benchmarks.webhook.races import SHOWN, run

__all__ = ["SHOWN", "run"]
