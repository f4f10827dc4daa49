"""Every known way to go wrong, row by row: b0 to b8, each through the door that it comes in by."""
