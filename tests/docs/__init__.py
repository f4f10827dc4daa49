"""The documentation, run, parsed and compared with the code."""
