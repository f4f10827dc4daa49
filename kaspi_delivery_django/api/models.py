"""The idempotency keys of clients, each with what came of its first request."""

from django.db import models

from kaspi_delivery_django.models.fields import ExactCharField, WrittenModel

KEY_LENGTH = 255
OWNER_LENGTH = 64


class IdempotencyKey(WrittenModel):
    """One key of one user. It names the delivery of the answer, and holds nothing personal.

    `owner` is the text of the user's primary key. `refusal` is a rule's reason; empty for a request that was done.
    """

    owner = ExactCharField(max_length=OWNER_LENGTH)
    key = ExactCharField(max_length=KEY_LENGTH)
    fingerprint = models.CharField(max_length=64)
    http_status = models.PositiveSmallIntegerField(default=0)
    delivery_pk = models.BigIntegerField(null=True)
    refusal = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="kaspi_delivery_api_key")]

    def __str__(self) -> str:
        return self.key
