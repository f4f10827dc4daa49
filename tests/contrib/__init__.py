"""What needs an optional dependency."""
