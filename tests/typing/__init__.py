"""Typed use of the package, for mypy."""
