"""Alarms to staff about the dashboard's alerts: one message when some begin, one when they are over.

An alert is announced when it is seen again a minute later, and over when it was not seen for five: what comes and goes
between two rounds of a worker alarms no one. All that is found at once is one message.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext

from kaspi_delivery_django.contrib.messages import conf, texts
from kaspi_delivery_django.contrib.messages.models import Alarm, Message
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import run_in_transaction, storable
from kaspi_delivery_django.services.errors import project_locale
from kaspi_delivery_django.stats import alerts
from kaspi_delivery_django.stats.alerts import Alert
from kaspi_delivery_django.stats.report import Report

CHECK_INTERVAL = timedelta(minutes=1)
CONFIRMED_AFTER = timedelta(minutes=1)
OVER_AFTER = timedelta(minutes=5)
Key = tuple[str, str, str]

_checked_at: datetime | None = None


def run(*, limit: int) -> int:  # noqa: ARG001  # there are few alerts
    """Check once a minute, in a worker's round, if there is someone to alarm. Return how many messages are queued."""
    global _checked_at  # noqa: PLW0603  # when this process last did
    now = clock.now()
    if not conf.current().alarms or (_checked_at and abs(now - _checked_at) < CHECK_INTERVAL):
        return 0
    _checked_at = now
    _alerts, queued = check()
    return queued


def check() -> tuple[Sequence[Alert], int]:
    """Compare the alerts with the alarms that are on, and queue messages about the difference, in one transaction.

    Return the alerts, and how many messages are queued.
    """
    with project_locale():
        found = list(alerts.find(Report()))
        return found, run_in_transaction(partial(_compare, found, clock.now()))


def _compare(found: Sequence[Alert], now: datetime) -> int:
    current = {(alert.kind, alert.account, alert.environment): alert for alert in found}
    known = {_key(alarm): alarm for alarm in Alarm.objects.all()}
    new = [_alarm(alert, now) for key, alert in current.items() if key not in known]
    Alarm.objects.bulk_create(new, ignore_conflicts=True)
    gone = [alarm for key, alarm in known.items() if key not in current]
    still = [key for key, alarm in known.items() if key in current and alarm.announced_at]
    begun = [key for key in current if key in known and _announce(known[key], now)]
    over = [alarm for alarm in gone if _end(alarm, now)]
    Alarm.objects.filter(pk__in=[known[key].pk for key in current if key in known]).update(seen_at=now)
    return _queue(current, begun, still, [alarm.words for alarm in over if alarm.announced_at])


def _alarm(alert: Alert, now: datetime) -> Alarm:
    names = {"kind": alert.kind, "account": alert.account, "environment": alert.environment}
    return Alarm(**names, words=storable(alert.words), began_at=now, seen_at=now)


def _announce(alarm: Alarm, now: datetime) -> bool:
    """Return whether this process is the one that announces it."""
    if alarm.announced_at or now - alarm.began_at < CONFIRMED_AFTER:
        return False
    unannounced = Alarm.objects.filter(pk=alarm.pk, announced_at__isnull=True)
    return bool(unannounced.update(announced_at=now))


def _end(alarm: Alarm, now: datetime) -> bool:
    """Delete an alarm that is over; return whether this process did. One that was never announced ends at once."""
    if alarm.announced_at and now - alarm.seen_at < OVER_AFTER:
        return False
    return bool(Alarm.objects.filter(pk=alarm.pk, seen_at=alarm.seen_at).delete()[0])


def _queue(current: Mapping[Key, Alert], begun: Sequence[Key], still: Sequence[Key], over: Sequence[str]) -> int:
    if not begun and not over:
        return 0
    groups = (
        (gettext("New:"), [current[key].words for key in begun]),
        (gettext("Over:"), over),
        (gettext("Still on:"), [current[key].words for key in still]),
    )
    subject = gettext("Kaspi Delivery needs attention") if begun else gettext("Kaspi Delivery: an alarm is over")
    text, now = storable(texts.listed(groups, _dashboard())), clock.now()
    rows = [
        Message(channel=name, recipient=recipient, subject=subject, text=text, next_attempt_at=now)
        for name, recipients in conf.current().alarms.items()
        for recipient in recipients
    ]
    return len(Message.objects.bulk_create(rows))


def _dashboard() -> str:
    """Return the dashboard's URL; empty without an admin, or without ORIGIN."""
    origin = conf.current().origin
    try:
        return f"{origin}{reverse('admin:kaspi_delivery_dashboard')}" if origin else ""
    except NoReverseMatch:
        return ""


def _key(alarm: Alarm) -> Key:
    return alarm.kind, alarm.account, alarm.environment
