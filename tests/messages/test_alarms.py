"""Alarms to staff: one message when something begins, one when it is over, with or without a worker."""

import pytest
from django.utils import translation

from kaspi_delivery_django.admin import dashboard
from kaspi_delivery_django.contrib.messages import alarms
from kaspi_delivery_django.contrib.messages.models import Alarm, Message
from kaspi_delivery_django.models import AccountState, Delivery
from kaspi_delivery_django.services import extensions
from kaspi_delivery_django.services.deliveries import notifications
from kaspi_delivery_django.stats import alerts
from kaspi_delivery_django.stats.report import Report
from tests.management import conftest as management

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)
STAFF = {"telegram": [-100742], "email": ["ops@shop.kz", "owner@shop.kz"]}
run = management.run  # a fixture is found by its name


@pytest.fixture
def staff(shop, set_messages, report):
    """Have alarms go to staff; a worker and a webhook have been seen, and nothing needs attention."""
    shop(recipients={})
    set_messages(ALARMS=STAFF)
    report("accepted")
    Message.objects.all().delete()
    Alarm.objects.all().delete()


@pytest.fixture
def minutes(fake_clock, staff):
    """Return a function that lets minutes pass, with this app's part of a worker's rounds."""

    def run(count):
        for _ in range(count):
            fake_clock.advance(minutes=1)
            AccountState.objects.update(worker_seen_at=fake_clock.now)
            for extension in extensions.installed():
                extension.run(limit=100)

    return run


def flag(reason="refused"):
    """Flag the delivery for manual review; an empty reason is none."""
    Delivery.objects.update(attention=reason)


def test_one_message_at_the_beginning_and_one_at_the_end(minutes, bot, mails):
    """To each recipient; not one in every round."""
    flag()
    minutes(4)
    [sent] = bot.sent
    assert sent["chat_id"] == "-100742"
    assert sent["text"].startswith("New:\n• Kaspi refused the request: 1")
    assert sent["text"].endswith("https://shop.kz/admin/kaspi_delivery/delivery/dashboard/")
    assert sorted(mail["To"] for mail in mails()) == ["ops@shop.kz", "owner@shop.kz"]
    flag("")
    minutes(7)
    assert len(bot.sent) == 2
    assert bot.texts[1].startswith("Over:\n• Kaspi refused the request: 1")
    assert mails()[-1]["Subject"] == "Kaspi Delivery: an alarm is over"
    assert not Alarm.objects.exists()


def test_it_is_a_digest(minutes, bot, booked, fake_clock):
    """What begins together is one message; what is still on stands below."""
    flag()
    Delivery.objects.update(delivery_by=fake_clock.now, next_refresh_at=None)
    minutes(3)
    flag("key_reused")
    minutes(8)
    assert [text.count("•") for text in bot.texts] == [2, 2, 3]
    assert [text.split("\n")[0] for text in bot.texts] == ["New:", "New:", "Over:"]
    assert "Still on:\n• 1 delivery is overdue" in bot.texts[1]


def test_what_comes_and_goes_alarms_no_one(minutes, bot):
    """Neither for a moment, nor between two messages."""
    flag()
    minutes(1)
    flag("")
    minutes(2)
    assert bot.sent == []
    flag()
    minutes(3)
    flag("")
    minutes(2)
    flag()
    minutes(4)
    assert len(bot.sent) == 1


def test_they_are_the_alerts_of_the_dashboard(minutes, bot, fake_clock):
    """Circuit breaker, webhooks and Kaspi's announcements too: one list, one decision."""
    sunset = {"announcement": "sunset on 2027-01-01", "announced_at": fake_clock.now}
    AccountState.objects.update(closed_until=fake_clock.now, closed_reason="HTTP 401", held_at=fake_clock.now, **sunset)
    fake_clock.advance(hours=4)
    minutes(3)
    words = "\n".join(bot.texts)
    parts = ("circuit breaker of default is open", "has sent no webhook for 4 h", "sunset on 2027-01-01", "is held")
    assert [part for part in parts if part not in words] == []
    shown = [alert.kind for alert in dashboard._alerts(lambda *_model, **_filter: "", Report())]
    assert shown == [alert.kind for alert in alerts.find(Report())]
    assert set(shown) == set(Alarm.objects.values_list("kind", flat=True))


@pytest.mark.parametrize(("language", "heading"), [("ru", "Новое:"), ("kk", "Жаңа:")])
def test_staff_read_the_projects_language_at_any_hour(set_messages, minutes, bot, settings, language, heading):
    """LANGUAGE_CODE, whatever is active where the worker runs; a night's alarm is sent at night."""
    set_messages(ALARMS=STAFF, QUIET_HOURS=("16:00", "08:00"))
    settings.LANGUAGE_CODE = language
    flag()
    with translation.override("de"):
        minutes(3)
    assert [text.splitlines()[0] for text in bot.texts] == [heading]


def test_without_recipients_a_round_makes_no_query(connected, set_messages, django_assert_num_queries):
    """The dashboard's alerts are not even read."""
    set_messages()
    with django_assert_num_queries(0):
        assert alarms.run(limit=1) == 0


@committed
def test_two_at_once_alarm_once(staff, at_once, fake_clock):
    """A worker, and cron: whoever changes the row queues the message."""
    flag()
    alarms.check()
    for reason, later in (("refused", 1), ("", 6)):
        flag(reason)
        fake_clock.advance(minutes=later)
        AccountState.objects.update(worker_seen_at=fake_clock.now)
        assert sorted(queued for _found, queued in at_once(alarms.check, alarms.check)) == [0, 3]


def test_of_two_that_have_read_an_alarm_one_announces_and_ends_it(staff, fake_clock):
    """By conditional statements, whatever both have read; and not before a minute has passed."""
    flag()
    alarms.check()
    fake_clock.advance(seconds=59)
    assert alarms.check()[1] == 0
    fake_clock.advance(seconds=1)
    [alarm], [same] = list(Alarm.objects.all()), list(Alarm.objects.all())
    assert [alarms._announce(one, fake_clock.now) for one in (alarm, same)] == [True, False]
    fake_clock.advance(minutes=6)
    assert [alarms._end(one, fake_clock.now) for one in (alarm, same)] == [True, False]


def test_cron_alarms_about_a_dead_worker(run, staff, bot, fake_clock):
    """It sends by itself."""
    assert run("kaspi_alarms") == (0, "", "")
    fake_clock.advance(minutes=6)
    assert run("kaspi_alarms") == (1, "No worker is seen for default: retries wait until one runs\n", "")
    assert bot.sent == []
    fake_clock.advance(minutes=1)
    assert run("kaspi_alarms")[0] == 1
    assert ["No worker is seen for default" in text for text in bot.texts] == [True]
    AccountState.objects.update(worker_seen_at=fake_clock.now)
    assert run("kaspi_alarms") == (0, "", "")


def test_cron_reports_wrong_settings_and_an_unusable_database(run, staff, set_messages, monkeypatch):
    """By exit codes that mean no alarm."""
    where = "KASPI_DELIVERY['MESSAGES']['ALARMS']"
    set_messages(ALARMS={})
    assert run("kaspi_alarms") == (2, "", f"""{where} names no recipient, as {{"email": ["ops@shop.kz"]}}.""")
    set_messages(ALARMS={"pager": ["1"]})
    assert run("kaspi_alarms") == (2, "", f"{where} names the channel 'pager'; CHANNELS has: email, telegram.")
    set_messages(ALARMS=STAFF)
    monkeypatch.setattr("kaspi_delivery_django.contrib.messages.models.Alarm._meta.db_table", "no_such_table")
    code, _printed, text = run("kaspi_alarms")
    assert (code, text.startswith("The database cannot be used:")) == (3, True)


@committed
def test_cron_leaves_customers_to_the_worker(run, staff, shop, move, bot, drain):
    """Their messages are not its business."""
    shop(recipients={"telegram": "742"})
    move("in_transit")
    notifications.notify_pending(limit=10)
    assert run("kaspi_alarms") == (0, "", "")
    assert bot.sent == []
    drain()
    assert len(bot.sent) == 1
