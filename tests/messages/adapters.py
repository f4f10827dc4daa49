"""Adapters of shops that write to their customers."""

from tests.shop.adapters import OrderAdapter


class WritingAdapter(OrderAdapter):
    """Writes to every customer, by e-mail and Telegram."""

    recipients = {"email": "aigerim@example.kz", "telegram": 742}
    language = ""

    def order_label(self, order):
        return str(order.pk)

    def customer_recipients(self, order):
        return self.recipients

    def customer_language(self, order):
        return self.language
