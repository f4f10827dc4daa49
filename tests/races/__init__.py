"""Several threads and processes at the same rows, on whichever engine the tests run."""
