"""What the tests of the services share."""


def fresh(row):
    """Return the row as the database has it."""
    return type(row).objects.get(pk=row.pk)


def posts(kaspi, ending="/v1/deliveries"):
    """Return the creates, or the cancels, that Kaspi received."""
    return [sent for sent in kaspi.requests if sent.method == "POST" and sent.path.endswith(ending)]
