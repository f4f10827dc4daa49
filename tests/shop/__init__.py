"""A shop as a host project would have it, for the tests."""
