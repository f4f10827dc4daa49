"""Maintenance: backfill of orders, pruning, and the sweep for cancelled orders."""
