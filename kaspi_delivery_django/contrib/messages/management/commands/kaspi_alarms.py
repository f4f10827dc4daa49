"""Alarm staff without the worker: `manage.py kaspi_alarms`, for cron. A dead worker cannot report itself."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand

from kaspi_delivery_django.contrib.messages import alarms, conf, sending
from kaspi_delivery_django.management.exits import exit_codes

ALARM = 1
LIMIT = 1000


class Command(BaseCommand):
    """Makes the worker's check, and sends the alarms that are due; customers' messages are left to the worker.

    Exit codes: 0 when nothing needs attention, 1 when something does, 2 for wrong settings, 3 when the database cannot
    be used.
    """

    help = "Check what needs attention, as the dashboard shows it, and send alarms to the staff of MESSAGES['ALARMS']."
    requires_system_checks = []  # their exit code is 1, which would mean an alarm

    def handle(self, *args: Any, **options: Any) -> None:
        with exit_codes():
            _check_recipients()
            found, _queued = alarms.check()
            sending.send_pending(limit=LIMIT, only_to_staff=True)
        for alert in found:
            self.stdout.write(alert.words)
        if found:
            raise SystemExit(ALARM)


def _check_recipients() -> None:
    if not any(conf.current().alarms.values()):
        raise ImproperlyConfigured(f'{conf.WHERE}[\'ALARMS\'] names no recipient, as {{"email": ["ops@shop.kz"]}}.')
