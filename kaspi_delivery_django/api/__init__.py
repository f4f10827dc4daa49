"""A REST API for headless shops, ERPs and 1C: an optional app, which a shop runs without. See docs/rest-api.md."""
