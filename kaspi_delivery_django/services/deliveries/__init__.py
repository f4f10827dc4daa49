"""Deliveries: booking, actions, rules, status, attention, calls, and the signals to the shop."""
