"""Orders whose primary keys can be spelled in more than one way."""

import uuid
from typing import Any

from django.db import models


class Numbered(models.Model):
    """An integer, which imports spell with zeros and spaces."""

    id = models.IntegerField(primary_key=True)
    paid = models.BooleanField(default=True)


class Identified(models.Model):
    """A UUID, which is spelled in capitals, in hex and in braces."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    paid = models.BooleanField(default=True)


class FoldedCharField(models.CharField):  # type: ignore[type-arg]  # no generics at run time
    """Text that the database compares case-insensitively, as MariaDB does by default."""

    def db_parameters(self, connection: Any) -> Any:
        """Use such a collation on SQLite; PostgreSQL has none by default."""
        parameters = super().db_parameters(connection)
        return {**parameters, "collation": "NOCASE"} if connection.vendor == "sqlite" else parameters


class Named(models.Model):
    """A case-insensitive text."""

    number = FoldedCharField(primary_key=True, max_length=100)
    paid = models.BooleanField(default=True)


class Priced(models.Model):
    """A decimal, whose column decides the places."""

    id = models.DecimalField(primary_key=True, max_digits=12, decimal_places=2)
    paid = models.BooleanField(default=True)


class CodeField(models.IntegerField):  # type: ignore[type-arg]  # no generics at run time
    """A number that the shop reads as a text, ORD-742."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return the text."""
        return value if value is None else f"ORD-{value}"

    def get_prep_value(self, value: Any) -> Any:
        """Accept a number or a text."""
        return value if value is None else int(str(value).removeprefix("ORD-"))

    def to_python(self, value: Any) -> Any:
        """Accept a number or a text."""
        return value if value is None else f"ORD-{self.get_prep_value(value)}"


class Coded(models.Model):
    """A key with conversions of its own."""

    id = CodeField(primary_key=True)
    paid = models.BooleanField(default=True)


class Attached(models.Model):
    """A relation is its key."""

    base = models.OneToOneField(Identified, models.CASCADE, primary_key=True)
    paid = models.BooleanField(default=True)


class Carded(Numbered):
    """A multi-table child, whose key is its parent's."""

    card = models.CharField(max_length=20, default="")


class Sealed(Numbered):
    """A multi-table child with a key of its own beside its parent's."""

    base = models.OneToOneField(Numbered, models.CASCADE, parent_link=True)
    seal = models.CharField(primary_key=True, max_length=20)


class Timed(models.Model):
    """A key that cannot be found by its text."""

    id = models.DurationField(primary_key=True)
    paid = models.BooleanField(default=True)


class Paired(models.Model):
    """A key of two columns."""

    pk = models.CompositePrimaryKey("shop", "number")
    shop = models.IntegerField()
    number = models.IntegerField()
    paid = models.BooleanField(default=True)
