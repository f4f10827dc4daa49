"""Rows in the states that the services meet."""


def fresh(row):
    """Return the row as the database has it."""
    return type(row).objects.get(pk=row.pk)
