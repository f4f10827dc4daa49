"""A year of a shop's deliveries, written by the database itself: a million of them in minutes."""
