"""What a shop puts on its own order pages."""
