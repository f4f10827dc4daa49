"""What a webhook costs under gunicorn, beside other ways to take it: 8 connections and 2 workers."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
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


def run(options: Options) -> Iterator[Figure]:
    """Set ours beside each of the others, on each engine."""
    for engine in databases.ENGINES:
        with (
            databases.created(engine, options, "webhook") as url,
            databases.started([url], SETTINGS) as [database],
        ):
            database.do(databases.migrate)
            endpoint = database.do(stripe.endpoint)
            with serving(url, SETTINGS) as port:
                contestants = _contestants(port, database, endpoint, options.requests)
                [together] = play([Trial(label=engine, contestants=contestants)], options.rounds)
            for name in list(together.samples)[:-2]:
                pair = together.pair(f"beside {name}", other=name, ours=OURS)
                yield _limited(pair, LEAST_THROUGHPUT.get(name, 0))
            strangers = together.pair(f"{STRANGERS} beside nothing", other="nothing", ours=STRANGERS)
            yield _limited(strangers, LEAST_THROUGHPUT[STRANGERS])


def _contestants(port: int, database: Contestant, endpoint: str, requests: int) -> dict[str, Callable[[], Sample]]:
    """Return the ways to take a webhook, each of which takes so many."""

    def move(path: str) -> Sample:
        """Post webhooks of deliveries that were booked just now; raise `RuntimeError` if any is not moved."""
        orders = database.do(rows.add_booked, requests)
        sample = send(port, [_post(path, *webhook) for webhook in rows.webhooks(orders)], expected=OK)
        if database.do(rows.moved, orders) != requests:
            raise RuntimeError(f"{path} left deliveries where they were")
        return sample

    def refuse(path: str, status: int) -> Sample:
        """Post webhooks that are signed with another secret."""
        webhooks = rows.webhooks(range(requests), secret=OTHER_SECRET)
        return send(port, [_post(path, *webhook) for webhook in webhooks], expected=status)

    def store() -> Sample:
        """Post events that dj-stripe stores."""
        events = itertools.islice(stripe.events(), requests)
        return send(port, [_post(endpoint, *event) for event in events], expected=OK)

    return {
        "nothing": partial(refuse, "/nothing/", OK),
        "limit": partial(move, "/limit/"),
        "optimum": partial(move, "/optimum/"),
        "dj-stripe": store,
        "a receiver": partial(move, "/receiver/"),
        "CONN_MAX_AGE = 0": partial(move, "/connecting/"),
        STRANGERS: partial(refuse, PATH, UNAUTHORIZED),
        OURS: partial(move, PATH),
    }


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
