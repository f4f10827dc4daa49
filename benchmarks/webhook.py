"""What a webhook costs under gunicorn, beside other ways to take it: 8 connections and 2 workers."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from benchmarks import databases, rows, stripe
from benchmarks.databases import Contestant
from benchmarks.report import Figure, Sample
from benchmarks.rounds import Options, Trial, play
from benchmarks.webhook_server import send, serving

SHOWN = ("req/s", "p99 ms", "busy %")
SETTINGS = "benchmarks.stripe_settings"
OURS, OTHER, STRANGERS = "ours", "other", "unauthenticated"
OK, UNAUTHORIZED = 200, 401
OTHER_SECRET = "a-secret-that-is-not-the-one-of-this-shop"
PATH = "/kaspi/webhook/"
LEAST_THROUGHPUT = {"limit": 0.55, "optimum": 1.1, STRANGERS: 0.7}
MOST_P99 = 1.2


@dataclass(frozen=True, kw_only=True)
class Course:
    """A server, its database, and the number of requests."""

    port: int
    database: Contestant
    requests: int

    def move(self, path: str) -> Sample:
        """Post webhooks of deliveries that were booked just now; raise `RuntimeError` if any is not moved."""
        orders = self.database.do(rows.add_booked, self.requests)
        posts = [_post(path, *webhook) for webhook in rows.webhooks(orders)]
        sample = send(self.port, posts, expected=OK)
        if self.database.do(rows.moved, orders) != self.requests:
            raise RuntimeError(f"{path} left deliveries where they were")
        return sample

    def refuse(self, path: str, status: int) -> Sample:
        """Post webhooks that are signed with another secret."""
        webhooks = rows.webhooks(range(self.requests), secret=OTHER_SECRET)
        return send(self.port, [_post(path, *webhook) for webhook in webhooks], expected=status)

    def store(self, path: str) -> Sample:
        """Post events that dj-stripe stores."""
        events = itertools.islice(stripe.events(), self.requests)
        return send(self.port, [_post(path, *event) for event in events], expected=OK)


def run(options: Options) -> Iterator[Figure]:
    """Race on each engine."""
    for engine in databases.ENGINES:
        with (
            databases.created(engine, options, "webhook") as url,
            databases.started([url], SETTINGS) as [database],
        ):
            database.do(databases.migrate)
            endpoint = database.do(stripe.endpoint)
            with serving(url, SETTINGS) as port:
                course = Course(port=port, database=database, requests=options.requests)
                yield from _races(engine, course, endpoint, options.rounds)


def _races(engine: str, course: Course, endpoint: str, rounds: int) -> Iterator[Figure]:
    """Set ours beside each of the others."""
    trial = Trial(
        label=engine,
        contestants={
            "nothing": partial(course.refuse, "/nothing/", OK),
            "limit": partial(course.move, "/limit/"),
            "optimum": partial(course.move, "/optimum/"),
            "dj-stripe": partial(course.store, endpoint),
            "a receiver": partial(course.move, "/receiver/"),
            "CONN_MAX_AGE = 0": partial(course.move, "/connecting/"),
            STRANGERS: partial(course.refuse, PATH, UNAUTHORIZED),
            OURS: partial(course.move, PATH),
        },
    )
    [together] = play([trial], rounds)
    for name in list(together.samples)[:-2]:
        pair = together.pair(f"beside {name}", other=name, ours=OURS)
        yield _limited(pair, LEAST_THROUGHPUT.get(name, 0))
    strangers = together.pair(f"{STRANGERS} beside nothing", other="nothing", ours=STRANGERS)
    yield _limited(strangers, LEAST_THROUGHPUT[STRANGERS])


def _limited(pair: Figure, least: float) -> Figure:
    """Mark a throughput that is too small beside the other's, and a p99 that is too long beside the optimum's."""
    throughput = pair.ms(OTHER) / pair.ms(OURS)
    is_late = pair.fact("p99 ms", OURS) > MOST_P99 * pair.fact("p99 ms", OTHER)
    marks = {
        f"{throughput:.2f} of its throughput, not {least:g}": throughput < least,
        f"p99 above {MOST_P99:g} of its": is_late and pair.label.endswith("optimum"),
    }
    return replace(pair, marks=[mark for mark, is_true in marks.items() if is_true])


def _post(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body
