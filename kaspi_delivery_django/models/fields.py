"""Base of the models: reads and writes on `db_for_write`'s database, exact text columns, reasons for attention."""

from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models, router
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    ExactCharField = models.CharField  # a plain one for type checkers: Django's has no generics
else:

    class ExactCharField(models.CharField):
        """Text that every engine compares exactly, MariaDB and MySQL included."""

        def db_parameters(self, connection: Any) -> dict[str, Any]:
            """Use a binary collation on MariaDB and MySQL, whose default folds case and accents."""
            parameters = super().db_parameters(connection)
            is_mysql = connection.vendor == "mysql"
            return {**parameters, "collation": "utf8mb4_bin"} if is_mysql else parameters


Row = TypeVar("Row", bound=models.Model)


class WrittenQuerySet(models.QuerySet[Row]):
    """Read rows where they are written, unless `using()` names another database."""

    @property
    def db(self) -> str:
        """The database's alias, without hints: those let Django write where an instance was read."""
        return self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]  # private, and documented nowhere


class WrittenModel(models.Model):
    """A row of one of our tables. Related managers and `refresh_from_db` follow the same rule."""

    objects = WrittenQuerySet.as_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Load an instance; it is written to `db_for_write`'s database, wherever it was read."""
        row = super().from_db(*args, **kwargs)
        row._state.db = router.db_for_write(cls)
        return row


class Attention(models.TextChoices):
    """A reason for manual review."""

    ADAPTER_FAILED = "adapter_failed", _("The shop's adapter failed")
    DATA_ERROR = "data_error", _("The database cannot store its data")
    REFUSED = "refused", _("Kaspi refused the request")
    OUTCOME_UNKNOWN = "outcome_unknown", _("It is unknown whether Kaspi booked it")
    KEY_REUSED = "key_reused", _("The idempotency key was used with another payload")
    PAYLOAD_CHANGED = "payload_changed", _("The stored request was changed after it was written")
    FOREIGN_DELIVERY = "foreign_delivery", _("Kaspi answered with another order's delivery")
    SECOND_PARCEL = "second_parcel", _("Kaspi reports a second delivery for this order")
    CONTRADICTION = "contradiction", _("Kaspi's messages contradict each other")
    TOO_OLD = "too_old", _("It waited too long to be sent automatically")
    CONFIGURATION_CHANGED = "configuration_changed", _("Key, environment or address has changed")
    ORDER_EDITED = "order_edited", _("The order was edited after it was booked")
    CANCEL_REFUSED = "cancel_refused", _("Kaspi refused the cancellation")
    CANCEL_UNKNOWN = "cancel_unknown", _("It is unknown whether Kaspi cancelled it")
    NOT_FOUND = "not_found", _("Kaspi does not know the delivery")
    NOT_WANTED = "not_wanted", _("The shop's adapter does not want it sent (yet)")
    UNKNOWN_STATUS = "unknown_status", _("Its status is new to this version, and has lasted")
