"""The translations, and the formats of dates and numbers that Django lacks."""
