"""Orders with keys of many kinds."""
