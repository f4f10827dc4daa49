"""Template tags and filters: `{% load kaspi_delivery %}`."""
