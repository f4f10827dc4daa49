"""What a shop can hook its own code to.

All three are sent after the commit, with `send_robust`, and with `delivery` (a
`kaspi_delivery_django.models.Delivery`, as it was committed) as their argument. The sender is the Delivery class.

- `delivery_created`: Kaspi has booked it. At least once.
- `delivery_status_changed`: also carries `change`, the StatusChange. At least once: a receiver that
  raises is called again by the worker, with every other one, until all of them have returned.
- `delivery_needs_attention`: a person is needed; `attention` says why. Once.
"""

from django.dispatch import Signal

delivery_created = Signal()
delivery_status_changed = Signal()
delivery_needs_attention = Signal()
