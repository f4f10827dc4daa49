"""What the documentation says, run, parsed or looked up."""
