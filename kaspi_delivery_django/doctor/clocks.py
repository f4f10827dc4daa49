"""Whether three clocks agree: this process's, the database's and Kaspi's."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from kaspi_delivery_django.doctor.findings import Finding, failed, well, yours

TOLERANCE = timedelta(seconds=30)
SET_THE_CLOCK = "Let NTP set the clock of this server (chrony, systemd-timesyncd): `timedatectl` says whether it does."
SET_THE_DATABASE = "Let NTP set the clocks of this server and of the database's; leases and deadlines go by the latter."


def read_date(header: str | None) -> datetime | None:
    """Return the time in a Date header, aware UTC; None for none, or for garbage."""
    try:
        date = parsedate_to_datetime(header or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)


def against_kaspi(ours: datetime, theirs: datetime | None, *, account: str) -> Finding:
    """Compare ours with Kaspi's. A webhook whose stamp is 300 s off is refused, so this is much less."""
    if theirs is None:
        says = "Kaspi's answer has no Date that can be read."
        return yours("clock", says, "Confirm with `timedatectl` that NTP sets this server's clock.", account=account)
    if abs(ours - theirs) <= TOLERANCE:
        return well("clock", f"Within {TOLERANCE.seconds} s of Kaspi's.", account=account)
    says = f"{_off(ours, theirs)} Kaspi's: webhooks that seem 300 s old, or early, are refused."
    return failed("clock", says, SET_THE_CLOCK, account=account)


def against_database(ours: datetime, theirs: datetime) -> Finding:
    """Compare ours with the database's."""
    if abs(ours - theirs) <= TOLERANCE:
        return well("database clock", f"Within {TOLERANCE.seconds} s of ours.")
    return failed("database clock", f"{_off(ours, theirs)} the database's.", SET_THE_DATABASE)


def _off(ours: datetime, theirs: datetime) -> str:
    direction = "ahead of" if ours > theirs else "behind"
    return f"Our clock is {round(abs(ours - theirs).total_seconds())} s {direction}"
