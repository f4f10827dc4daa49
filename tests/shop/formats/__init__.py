"""Formats of a project of its own."""
