"""Messages about status changes to customers, and alarms to staff. An app of its own, off unless it is installed."""
