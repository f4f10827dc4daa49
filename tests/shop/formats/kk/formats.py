"""A format that nobody else has."""

SHORT_DATETIME_FORMAT = "Y-m-d"
