"""The results of the doctor, and the one table of their texts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of a check; `YOURS` is for staff to confirm."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    YOURS = "yours"


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one check. `todo` is what to change, or to confirm; empty for a pass.

    `account` is empty for what concerns the whole shop.
    """

    name: str
    outcome: Outcome
    message: str
    todo: str = ""
    account: str = ""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of Kaspi's checklist: its number, Kaspi's demand, the outcome, what was seen, and what to do."""

    number: int
    asks: str
    outcome: Outcome
    message: str
    todo: str = ""


Text = tuple[Outcome, str, str]


def text(case: str, values: Mapping[str, object]) -> Text:
    """Return the outcome of a case of the table, and its two texts with these values."""
    outcome, message, todo = TEXTS[case]
    return outcome, message.format(**values), todo.format(**values)


def result(case: str, *, account: str = "", **values: object) -> Result:
    """Return the result of a case of the table, as "worker/lost", with these values."""
    outcome, message, todo = text(case, values)
    return Result(name=case.partition("/")[0], outcome=outcome, message=message, todo=todo, account=account)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst outcome; open for none."""
    found = set(outcomes)
    if Outcome.FAIL in found:
        return Outcome.FAIL
    return Outcome.PASS if found == {Outcome.PASS} else Outcome.YOURS


# As the doctor prints it: the outcome, the line's name, its case, and what was seen; below it what to do. The names of
# the lines are promised, and explained in docs/running.md; the cases of Kaspi's checklist begin with "item".
TABLE = """
pass  checks/none: The system checks find nothing of this app.
fail  checks/wrong: {text}
      {hint}
yours checks/to confirm: {text}
      {hint}
yours checks/others: Checks of Django and of other apps: {count} messages, {errors} of them errors.
      Read them: python manage.py check --deploy
pass  migrations/applied: All are applied.
fail  migrations/missing: {count} not applied, from {first} on: nothing of the tables was read.
      python manage.py migrate --database {alias}
pass  database clock/right: Within {tolerance_s} s of ours.
fail  database clock/wrong: Our clock is {difference} the database's.
      Let NTP set the clocks of this server and of the database's; leases and deadlines go by the latter.
pass  backlog/none: No due call has waited {minutes:.0f} min.
fail  backlog/old: The oldest call that is due has waited {minutes} min.
      Look at the lines 'worker' and 'gate'; then start more workers.
pass  silence/not expected: No delivery is under way, so Kaspi has nothing to report.
pass  silence/none: A webhook came within {hours:.0f} h.
fail  silence/long: Deliveries are under way, and no webhook came {since}.
      Run this with --webhook-url; compare the address and the secret in Kaspi's partner console with yours.
pass  people/nothing: Nothing needs attention.
yours people/pending: {deliveries} deliveries and {events} webhook events need attention.
      Work through them in the admin: *Dashboard* links to both lists.

fail  hold/held: Sending is held since {since:%Y-%m-%d %H:%M} UTC.
      When Kaspi's deliveries and yours agree: `python manage.py kaspi_worker --release`.
pass  worker/seen: One was seen in the last 5 minutes.
fail  worker/never seen: None was ever seen.
      Keep `python manage.py kaspi_worker` running (systemd, a container), or Celery's beat with the sweep.
fail  worker/lost: None was seen for {minutes} min.
      Keep `python manage.py kaspi_worker` running (systemd, a container), or Celery's beat with the sweep.
fail  worker/failing: It fails at {trouble}.
      Read the worker's log at ERROR, correct what it names, and restart the worker.
yours version/announced: Kaspi announces: {announced}. Version {version} of its API is supported.
      Upgrade kaspi-delivery-django before that day.
pass  gate/closed: The circuit breaker is closed.
fail  gate/open: The circuit breaker is open: {reason}.
      Fix the cause in the line 'key' or 'api', restart web and workers:
      the worker's next trial call closes it.

pass  api/reached: {base_url} answered in {seconds:.2f} s.
fail  api/pause: Kaspi asked for a pause (429) that lasts {seconds} s more; nothing was asked.
      Run it again in {seconds} s; more requests now would make the pause longer.
fail  api/rate limited: Kaspi answered 429: too many requests with this key.
      Run it again in {seconds} s; more requests now would make the pause longer.
fail  api/no connection: No connection to {base_url}.
      Allow outbound HTTPS from this server to that host: firewall, DNS, certificates. No proxy is used.
fail  api/no connection locally: No connection to {base_url}.
      Start the bundled sandbox, and leave it running: python manage.py kaspi_sandbox
fail  api/no answer: {base_url} gave no whole answer within {timeout_s:.0f} s, or hung up.
      Run it again; if it stays, look at the network in between, then ask Kaspi.
fail  api/no answer locally: {base_url} gave no whole answer within {timeout_s:.0f} s, or hung up.
      Start the bundled sandbox, and leave it running: python manage.py kaspi_sandbox
fail  api/server error: Kaspi answered {status}.
      That is Kaspi's side: run it again later, and ask Kaspi if it stays. Orders wait meanwhile.
fail  api/strange: {base_url} answered {status}, which Kaspi does not.
      Leave BASE_URL out of KASPI_DELIVERY, so that the address is Kaspi's own; see that no proxy answers.
fail  api/slow: Kaspi took {seconds:.1f} s to answer a GET.
      Look at the network in between: a booking that takes {timeout_s:.0f} s has an unknown outcome.
pass  key/accepted: API key accepted (a test lookup returned 404, as expected).
fail  key/missing: API_KEY is not set: nothing was asked.
      Set {variable} to the {environment} key of Kaspi's partner console, and restart.
fail  key/refused: Kaspi refused the key (401).
      Set {variable} to the {environment} key of Kaspi's partner console: each environment has its own.
      Then restart web and workers.
fail  key/refused locally: Kaspi refused the key (401).
      Leave {variable} out: the bundled sandbox's own key is the default. Then restart web and workers.
fail  key/disabled: The key is disabled (403).
      Have it enabled in Kaspi's partner console, or put another into {variable} and restart.
pass  clock/right: Within {tolerance_s} s of Kaspi's.
yours clock/unknown: Kaspi's response has no readable Date.
      Confirm with `timedatectl` that NTP sets this server's clock.
fail  clock/wrong: Our clock is {difference} Kaspi's: webhooks that seem 300 s old, or early, are refused.
      Let NTP set the clock of this server (chrony, systemd-timesyncd): check with `timedatectl`.

pass  webhook/arrived: A test webhook arrived signed at {url}.
yours webhook/no url: No test webhook was asked for: --webhook-url was not given.
      Run this with --webhook-url and the shop's public address, as in https://shop.example/kaspi/webhook/
yours webhook/no inbox: No test webhook was asked for: the inbox is not migrated.
      Fix the line 'migrations' first.
yours webhook/no key: No test webhook was asked for: Kaspi has not taken the key.
      Fix the lines 'api' and 'key' first.
fail  webhook/no secret: WEBHOOK_SECRETS is not set: every webhook is refused.
      Set {variable} to the secret of Kaspi's partner console, and restart.
fail  webhook/plain http: The address is plain http, and Kaspi asks for https.
      Give the shop a certificate, and name its https address here and in Kaspi's partner console.
fail  webhook/rate limited: The test webhook could not be requested: {error}.
      Run it again in {seconds} s.
fail  webhook/refused: The test webhook could not be requested: {error}.
      Correct --webhook-url: Kaspi does not take this address.
fail  webhook/wrong address: The test webhook could not be requested: {error}.
      Leave BASE_URL out of KASPI_DELIVERY, so that the address is Kaspi's own; see that no proxy answers.
fail  webhook/no sandbox: The test webhook could not be requested: {error}.
      Start the bundled sandbox, and leave it running: python manage.py kaspi_sandbox
fail  webhook/not requested: The test webhook could not be requested: {error}.
      Run it again; if it stays, look at the network in between, then ask Kaspi.
yours webhook/no event id: Kaspi's response has no event id to wait for.
      Look for the event in the admin, *Webhook events*.
fail  webhook/missing: Nothing arrived signed at {url} within {waited_s:g} s.
      Look for 'webhook rejected' in the web processes' log. If it is there, compare {variable} with the secret in
      Kaspi's partner console. If 'webhook unreadable, though signed' is there, the secret is right, and the line
      says what is wrong with the body. If neither is, the address is wrong or closed: it must end with
      {path}, and be reached from outside (DNS, certificate, proxy, firewall).
fail  webhook/another account: It arrived at the account {arrived}, whose secret it has.
      Send it to {path}, and give each account its own secret.
fail  webhook/late: It arrived signed, at attempt {attempt}: the first had no 2xx within 5 s.
      Look why the web processes answered late: their number, the database.
yours webhook/unreadable: It arrived signed: address and secret are right. But it could not be read: {error}.
      Compare the event {event_id} in the admin, *Webhook events*, with one of a real delivery.

yours item/tables not read: The tables were not read.
      Fix the line 'migrations' first.
yours item/no account: No account here is of {environment}.
      Run this where that key is used.
fail  item/key missing: A key is missing.
      Set {names}.
pass  item/key stored: It comes from the environment: {names}.
yours item/key elsewhere: It does not come from the environment's variable.
      Read it from {names}, or confirm that it lies in a vault and in no repository.
pass  item/key pass: Every request carries it, and Kaspi took it.
fail  item/key fail: Kaspi does not take the key, or there is none.
      Fix the lines 'key' and 'api', and run this again.
yours item/key yours: Whether Kaspi accepts the key is unknown.
      Fix the lines 'key' and 'api', and run this again.
fail  item/no idempotency key: A create or a cancel has no idempotency key.
      Calls were written by hand: delete them, and book with request_delivery and cancel_delivery.
pass  item/idempotency keys: No create and no cancel is without one.
fail  item/not reached: Not every account reaches Kaspi.
      Fix the lines 'api'.
pass  item/reached: Both hosts were reached over HTTPS.
yours item/not tried: Not tried from here: {hosts}.
      Confirm on this server: {commands}
fail  item/webhook fail: A test webhook did not arrive as it should.
      Fix the line 'webhook'.
yours item/webhook yours: No test webhook was seen to arrive over HTTPS for every account.
      Run this with --webhook-url and the shop's public https address.
pass  item/webhook pass: A test webhook arrived signed, at the first attempt.
pass  item/logged: The webhook's logger writes warnings; redeliveries are counted in the inbox.
fail  item/not logged: LOGGING silences the webhook's warnings.
      Let LOGGING write kaspi_delivery_django.views.webhook at WARNING.
fail  item/ids alike: Two adapters can give one id to two orders (E006).
      Fix the line 'checks' about E006.
fail  item/ids unknown: The unique constraint may be missing.
      Fix the line 'migrations' first.
pass  item/ids unique: A unique constraint of the database holds it.
fail  item/not built: The adapter failed for {count} orders.
      Fix build_request, then *Retry now* in the admin (filter: adapter_failed).
yours item/not booked: No order was booked yet.
      Save an order that is to be shipped, and look at its delivery in the admin.
pass  item/booked: Orders were booked, and none goes without {what}: the client refuses it.
pass  item/notes: A booked delivery carries notes.
yours item/no notes: No booked delivery carries notes.
      Return Location(notes=…) from build_request, book one order, and see them in Kaspi's partner console.
yours item/alerts: Whether an alarm reaches someone cannot be seen from here.
      Confirm that cron runs kaspi_report with --max-failed-attempts, or that Prometheus has docs/alerts.yml.
pass  item/dashboard: The admin has it: *Kaspi Delivery*, Dashboard.
yours item/no dashboard: The admin, which has it, is not installed here.
      Install django.contrib.admin and route it, or draw the metrics of docs/running.md.
pass  item/no retries: Events in 24 hours: {events}; of them more than once: {repeated}.
yours item/retries: Events in 24 hours: {events}; of them more than once: {repeated}.
      Look why the first attempt was answered late or not at all: *Webhook events*, times received.
pass  item/no dead letters: The inbox keeps them; waiting now: {count}.
yours item/dead letters: The inbox keeps them; waiting now: {count}.
      Replay or acknowledge them in the admin, *Webhook events*, Dead letters.
"""


def _read(table: str) -> dict[str, Text]:
    found, case = dict[str, Text](), ""
    for line in filter(None, table.splitlines()):
        word, rest = line[:6].strip(), line[6:]
        if word:
            case, _colon, message = rest.partition(": ")
            found[case] = Outcome(word), message, ""
        else:
            outcome, message, todo = found[case]
            found[case] = outcome, message, f"{todo} {rest}".lstrip()
    return found


TEXTS = _read(TABLE)
