"""What can go wrong with Kaspi, sorted by what the caller can do next.

`KaspiError` is what Kaspi or the network did; `UsageError` is what the caller did.
No text here carries a key, a secret or a customer's data: Kaspi's own words, which may, are in
`KaspiError.message` and stay out of `str()`.
"""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from datetime import datetime


class UsageError(ValueError):
    """The caller passed something that must be changed before it can be sent."""


class KaspiError(Exception):
    """A request to Kaspi failed.

    `outcome_known` is False when Kaspi may have acted on the request all the same: send the same
    bytes with the same idempotency key again, or ask with a GET. `retry_after_s` is how long Kaspi
    asked to wait, in seconds, or None; `retry_at` is the date, if it named one. `status` is the HTTP status, None
    when there was none. `request_id` names the exchange to Kaspi's support, `announcement` is what Kaspi's headers
    announce of the API.
    """

    outcome_known: ClassVar[bool] = True

    def __init__(
        self,
        summary: str,
        *,
        status: int | None = None,
        code: str = "",
        message: str = "",
        retry_after_s: float | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(summary)
        self.retry_at: datetime | None = None
        self.request_id = ""
        self.announcement = ""
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
        self.replayed = replayed

    def __str__(self) -> str:
        facts = [f"status={self.status}" if self.status else "", self.code and f"code={self.code}"]
        shown = " ".join(fact for fact in facts if fact)
        return f"{self.args[0]} ({shown})" if shown else str(self.args[0])


class NotReached(KaspiError):
    """No byte of the request left: DNS, refused connection, TLS, connect timeout. Send it again."""


class ConfigurationFault(KaspiError):
    """The key, the base URL or the API's version is wrong (401, 403, 404 on a create, 405, 410, 426, 3xx).

    Nothing happened, and nothing is refused.
    """


class RateLimited(KaspiError):
    """429: nothing happened; wait `retry_after_s` seconds before any call with this key."""


class Refused(KaspiError):
    """Kaspi refused this payload for good (400, 413, 415, 422 and other 4xx). Correct it."""


class NotFound(KaspiError):
    """Kaspi knows no delivery of this id (404). It never means that a delivery was cancelled."""


class Conflict(KaspiError):
    """409 on a cancel: the parcel is in transit, ended already, or the key was used otherwise."""


class PayloadMismatch(KaspiError):
    """409 on a create: this idempotency key was used with another payload. Staff decide."""

    outcome_known = False


class OutcomeUnknown(KaspiError):
    """Kaspi may or may not have acted: a read timeout, a reset, a body that cannot be read."""

    outcome_known = False


class ServerFault(OutcomeUnknown):
    """408, 425 or 5xx. `replayed`: the answer is a stored one, which will not change."""


class InProgress(OutcomeUnknown):
    """409 on a create whose code is not the documented mismatch: the first try may still run."""


class UnusableAnswer(OutcomeUnknown):
    """A 2xx without a usable deliveryId."""


class ForeignDelivery(OutcomeUnknown):
    """A 2xx that speaks of another order than the one that was sent. Do not link it."""


class WebhookRejected(KaspiError):
    """A webhook that must not be trusted; `reason` is a short word for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"webhook rejected: {reason}")
        self.reason = reason


class MalformedEvent(KaspiError):
    """A signed webhook that cannot be read; the text gives the reason, without its data."""
