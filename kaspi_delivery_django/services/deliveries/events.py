"""Apply one webhook event to its delivery. The caller holds the delivery's lock."""

from django.db import IntegrityError

from kaspi_delivery_django.client import read_event
from kaspi_delivery_django.client.types import RemoteEvent
from kaspi_delivery_django.client.webhooks import DELIVERY_PREFIX
from kaspi_delivery_django.models import Attention, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.deliveries import attention, status
from kaspi_delivery_django.statuses import STATUSES, Transition

State = WebhookEvent.State
UNKNOWN_TYPE = "an event type we do not know"
NO_STATUS = "data has no status"
UNUSABLE_TIME = "the timestamp cannot be true: the time of arrival was used"


class EventNotStored(IntegrityError):
    """The database refused the event's row: its id is there already, or something else is wrong."""


def apply(delivery: Delivery, event: WebhookEvent, remote: RemoteEvent | None = None) -> None:
    """Judge the event, set its `state`, and move the delivery. Saves an event that is new."""
    remote = remote or read_event(event.body.encode())
    if unusable := unusable_reason(remote):  # parked by a version that read more
        event.delivery, (event.state, event.error) = delivery, unusable
        return
    at = clock.plausible(remote.occurred_at, event.received_at)
    news = status.StatusUpdate(
        status=remote.status,
        source=StatusChange.Source.WEBHOOK,
        at=at or event.received_at,
        note="" if at else UNUSABLE_TIME,
        event=event,
    )
    verdict = _transition_of(delivery, remote, news)
    event.delivery, event.state, event.error = delivery, _state_after(verdict), news.note
    event.applied_at = clock.now()
    if event._state.adding:
        insert(event, using=db_alias())
    status.apply(delivery, news, verdict)
    status.save(delivery, status.STATUS_COLUMNS)


def insert(event: WebhookEvent, *, using: str) -> None:
    """Insert a new event. Raises `EventNotStored` when a constraint, a trigger or a key refuses the row."""
    try:
        fast_sql.insert(event, using=using)
    except IntegrityError as err:
        raise EventNotStored("the event's row was refused") from err


def is_about_delivery(remote: RemoteEvent) -> bool:
    """Tell whether the event may be about a delivery's status: it is, or its type cannot be read."""
    return not remote.type or remote.type.startswith(DELIVERY_PREFIX)


def unusable_reason(remote: RemoteEvent) -> tuple[WebhookEvent.State, str] | None:
    """Return the state and the reason of an event that changes no status; None for one that can be applied."""
    if not is_about_delivery(remote) or _is_new_kind(remote):
        return State.IGNORED, UNKNOWN_TYPE
    if remote.problem or not remote.status:
        return State.FAILED, remote.problem or NO_STATUS
    return None


def _is_new_kind(remote: RemoteEvent) -> bool:
    """Tell whether the event is of a later version of Kaspi's API, and about something else than a status."""
    data = remote.raw.get("data")
    has_status = isinstance(data, dict) and data.get("status") is not None
    return bool(remote.type) and not has_status and remote.type.removeprefix(DELIVERY_PREFIX) not in STATUSES


def _transition_of(delivery: Delivery, remote: RemoteEvent, news: status.StatusUpdate) -> Transition:
    """Weigh the status. A type that names another one, known or new, contradicts it: Kaspi is asked."""
    verdict = status.transition_of(delivery, news)
    if remote.type.removeprefix(DELIVERY_PREFIX) != remote.status:
        verdict = Transition.CONTRADICTION
    if verdict is Transition.CONTRADICTION:
        attention.flag(delivery, Attention.CONTRADICTION, occurrence=remote.event_id)
    return verdict


def _state_after(verdict: Transition) -> WebhookEvent.State:
    if verdict in {Transition.REPEAT, Transition.STALE}:
        return State.NOTED
    return State.CONFLICT if verdict is Transition.CONTRADICTION else State.APPLIED
