"""What a call of the client costs on loopback, beside other clients, and what many threads make of 50 ms a call."""

from benchmarks.client.races import SHOWN, run

__all__ = ["SHOWN", "run"]
