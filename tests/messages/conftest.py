"""The app of messages, connected as a shop's installation connects it, with a mail folder and a bot."""

import email
from email import policy

import django
import pytest
from django.apps import apps
from django.core.checks.registry import registry

from kaspi_delivery_django.contrib.messages import alarms, sending
from kaspi_delivery_django.contrib.messages.apps import MessagesConfig
from kaspi_delivery_django.contrib.messages.models import Message
from kaspi_delivery_django.services import extensions
from kaspi_delivery_django.signals import delivery_status_changed
from tests.admin.conftest import staff  # noqa: F401  # a fixture
from tests.conftest import event
from tests.messages import bot as telegram
from tests.messages.adapters import WritingAdapter

TELEGRAM = "kaspi_delivery_django.contrib.messages.telegram.TelegramBackend"
EMAIL = "kaspi_delivery_django.contrib.messages.backends.EmailBackend"
FILES = "django.core.mail.backends.filebased.EmailBackend"
ADAPTER = "tests.messages.adapters.WritingAdapter"


@pytest.fixture
def connected(monkeypatch):
    """Connect the app, as its AppConfig does, for one test."""
    monkeypatch.setattr(registry, "registered_checks", set(registry.registered_checks))
    monkeypatch.setattr(extensions, "_installed", {})
    monkeypatch.setattr(sending, "_paused", {})
    monkeypatch.setattr(alarms, "_checked_at", None)
    MessagesConfig.ready(apps.get_app_config("kaspi_delivery_messages"))
    yield
    delivery_status_changed.disconnect(sending.remember)


@pytest.fixture
def bot():
    """Return a bot that listens."""
    with telegram.running() as running:
        yield running


@pytest.fixture
def mails(settings, tmp_path):
    """Let Django write e-mails into a folder; return what is in it, by their time."""
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": FILES, "OPTIONS": {"file_path": str(tmp_path)}}}
    else:
        settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = FILES, str(tmp_path)

    def read():
        files = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        parts = [text for path in files for text in path.read_bytes().split(b"\n" + b"-" * 79 + b"\n") if text.strip()]
        return [email.message_from_bytes(part.lstrip(), policy=policy.default) for part in parts]

    return read


@pytest.fixture
def set_messages(configure, bot, mails):
    """Return a function that sets MESSAGES: both channels, no quiet hours, and what it is given."""

    def run(**options):
        own = {
            "ORIGIN": "https://shop.kz",
            "CHANNELS": {
                "email": {"BACKEND": EMAIL, "OPTIONS": {"from_email": "shop@example.kz"}},
                "telegram": {"BACKEND": TELEGRAM, "OPTIONS": {"token": telegram.TOKEN, "base_url": bot.url}},
            },
            "QUIET_HOURS": None,
        }
        configure(ORDER_ADAPTERS=[ADAPTER], MESSAGES={**own, **options})

    return run


@pytest.fixture
def shop(connected, set_messages, monkeypatch):
    """Return a shop that writes to its customers: a function that changes what its adapter answers."""
    set_messages()

    def answer(**values):
        for name, value in values.items():
            monkeypatch.setattr(WritingAdapter, name, value)

    return answer


@pytest.fixture
def move(post_webhook, fake_clock, shop, booked):
    """Return a function that has Kaspi report a status of the booked parcel."""

    def run(status, delivery=None, **changes):
        fake_clock.advance(seconds=1)
        sent = {"event_id": f"wh_{status}_{fake_clock.timestamp()}", "at": fake_clock.now, **changes}
        return post_webhook(event(delivery or booked, status, **sent))

    return run


@pytest.fixture
def report(move, drain):
    """Return a function that has Kaspi report a status, and then a worker make a round."""

    def run(status, delivery=None, **changes):
        move(status, delivery, **changes)
        drain()

    return run


def rows(**values):
    """Return the messages with these values, the oldest first."""
    return list(Message.objects.filter(**values).order_by("pk"))
