"""Deliveries: booking, actions, status, attention, calls, and the signals to the shop."""
