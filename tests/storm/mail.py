"""Kaspi's webhooks on a bad day: each may be lost, doubled, delayed, or overtaken by the next."""

from kaspi_delivery_django.sandbox.webhooks import WebhookQueue

LATE_S = 300.0


class RoughWebhookQueue(WebhookQueue):
    """Throws the dice for each event; `chance` 0 is a good day."""

    def __init__(self, *arguments, dice, chance, **options):
        super().__init__(*arguments, **options)
        self._dice = dice
        self.chance = chance

    def queue(self, url, event_type, data):
        with self._lock:
            self.duplicate = self._happens()
            self.lose = int(self._happens())
            self.delay_s = LATE_S if self._happens() else 0.0
            if self.reorder == 0 and self._happens():
                self.reorder = 3
            return super().queue(url, event_type, data)

    def calm(self):
        with self._lock:
            self.chance = 0.0
            self.reorder = 0
            self._release_held(self._clock())

    def _happens(self):
        return self._dice.random() < self.chance
