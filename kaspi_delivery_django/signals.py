"""What a shop can hook its own code to.

The first three are sent after the commit, with `send_robust`, and with `delivery` (a
`kaspi_delivery_django.models.Delivery`, as it was committed) as their argument. The sender is the Delivery class.

- `delivery_created`: Kaspi has booked it. At least once.
- `delivery_status_changed`: also carries `change`, the StatusChange. At least once: a receiver that
  raises is called again by the worker, with every other one, until all of them have returned.
- `delivery_needs_attention`: a person is needed; `attention` says why. Once.

Two more are for metrics. They are sent with `send_robust` by the process that it happened in, and may be
missed when that process dies:

- `call_attempted`: one HTTP try of a call has ended and is recorded. `call` is the ApiCall as it was claimed,
  `error` a `KaspiError` or None, `seconds` how long Kaspi took, `replayed` whether a success was a stored one. The
  sender is the ApiCall class.
- `webhook_answered`: a webhook has its answer. `http_status` is the answer's, `outcome` a short word that says why
  ("applied", "noted", "parked", "unauthorized", "unreadable", …). Anybody who knows the address causes it: a
  receiver must not touch the database. The sender is the view's class.
"""

from django.dispatch import Signal

delivery_created = Signal()
delivery_status_changed = Signal()
delivery_needs_attention = Signal()
call_attempted = Signal()
webhook_answered = Signal()
