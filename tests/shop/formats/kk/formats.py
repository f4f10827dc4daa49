"""A format of a project."""

SHORT_DATETIME_FORMAT = "Y-m-d"
