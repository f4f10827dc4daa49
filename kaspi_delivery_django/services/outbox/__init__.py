"""The outbox: how a call is claimed, sent to Kaspi, and recorded."""
