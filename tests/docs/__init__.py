"""Run, parse or look up what the documentation shows."""
