"""Signals that a shop connects its own code to.

The first three are sent after the commit, with `send_robust`, and with `delivery` (a
`kaspi_delivery_django.models.Delivery`, as it was committed) as their argument. The sender is the Delivery class.

- `delivery_created`: Kaspi has booked it. At least once.
- `delivery_status_changed`: also carries `change`, the StatusChange. At least once: a receiver that
  raises is called again by the worker, with every other one, until all of them have returned.
- `delivery_needs_attention`: staff are needed; `attention` is the reason. At most once for each occurrence.

With the runner `inline` the process that learns of a change sends the first two. With any other runner the worker
sends those of a webhook, so that no receiver delays the answer to Kaspi.

Two more are for metrics. They are sent with `send_robust` by the process that it happened in, and may be
missed when that process dies:

- `call_attempted`: one HTTP try of a call has ended and is recorded. `call` is the ApiCall as it was claimed,
  `error` a `KaspiError` or None, `seconds` how long Kaspi took, `replayed` whether a success was a stored one. The
  sender is the ApiCall class.
- `webhook_answered`: a webhook has its answer. `http_status` is the answer's, `outcome` a short word for the reason
  ("applied", "noted", "parked", "unauthorized", "unreadable", …). Anybody who knows the address causes it: a
  receiver must not touch the database. The sender is the view's class.

A receiver that raises is logged by the name of its function and of the error: the error's text may hold a
customer's data.
"""

import logging
from typing import Any

from django.dispatch import Signal

logger = logging.getLogger(__name__)


class PrivateSignal(Signal):
    """A signal whose `send_robust` logs which receiver raised, and neither the error's text nor its frames."""

    def _log_robust_failure(self, receiver: Any, err: BaseException) -> None:
        name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
        logger.error("receiver raised: receiver=%s error=%s", name, type(err).__name__)


delivery_created = PrivateSignal()
delivery_status_changed = PrivateSignal()
delivery_needs_attention = PrivateSignal()
call_attempted = PrivateSignal()
webhook_answered = PrivateSignal()
