"""The races: each contestant takes as many requests, round after round, on one server and in one database."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from django.core.management import call_command

from benchmarks import engines, processes
from benchmarks.figures import Figure, Sample
from benchmarks.plan import Plan
from benchmarks.processes import Contestant
from benchmarks.rounds import Trial, play
from benchmarks.webhook import inside, load, requests, rows, server, stripe

SHOWN = ("req/s", "p99 ms", "busy %")
CONNECTIONS = 8
OURS, OTHER = "ours", "other"
OK, UNAUTHORIZED = 200, 401
WRONG_SECRET = "a-secret-that-is-not-the-one-of-this-shop"
LEAST_THROUGHPUT = {
    "beside limit": 0.5,
    "beside optimum": 1.0,
    "beside dj-stripe": 3.0,
    "unauthenticated beside nothing": 0.7,
}
MOST_P99 = 1.2

Take = Callable[[Sequence[bytes], int], Sample]


@dataclass(kw_only=True)
class Course:
    """A database, deliveries that nobody has moved yet, and a way to have requests answered."""

    database: Contestant
    take: Take
    laps: int
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def moves(self, path: str) -> Sample:
        """Let a contestant move deliveries of its own, and look that it did."""
        first = self._more()
        sample = self.take(list(requests.kaspi(path, first, self.laps)), OK)
        if self.database.do(rows.moved, first, self.laps) != self.laps:
            raise RuntimeError(f"{path} left deliveries where they were")
        return sample

    def strangers(self, path: str, answer: int) -> Sample:
        """Let it meet requests that are signed with another secret."""
        return self.take(list(requests.kaspi(path, 1, self.laps, secret=WRONG_SECRET)), answer)

    def stripe(self, path: str) -> Sample:
        """Let dj-stripe store events."""
        return self.take(list(requests.stripe(path, self.laps)), OK)

    def _more(self) -> int:
        first = next(self.numbers) * self.laps
        self.database.do(rows.add, first, self.laps)
        return first


def run(plan: Plan) -> Iterator[Figure]:
    """Race on each engine: under gunicorn, and in process."""
    for engine in engines.NAMES:
        with engines.made(engine, plan, "webhook") as url, processes.started([url], server.SETTINGS) as [database]:
            endpoint = database.do(prepare)
            with server.served(url) as port:
                course = Course(database=database, take=partial(_served, port), laps=plan.requests)
                yield from _judged(_races(f"{engine}, gunicorn", course, endpoint, plan.rounds))
            course.take = partial(_inside, database)
            yield from _races(f"{engine}, in process", course, endpoint, plan.rounds)


def prepare() -> str:
    """Make the tables; return the address of dj-stripe's endpoint."""
    call_command("migrate", verbosity=0, run_syncdb=True)
    return stripe.endpoint()


def _served(port: int, posts: Sequence[bytes], expected: int) -> Sample:
    taken = load.fire(port, posts, connections=CONNECTIONS, expected=expected)
    facts = {"p99 ms": round(taken.p99_ms, 1), "busy %": round(taken.busy * 100)}
    return _sample(taken.elapsed_s, len(posts), facts)


def _inside(database: Contestant, posts: Sequence[bytes], expected: int) -> Sample:
    elapsed_s, computed_s = database.do(inside.take, posts, expected)
    return _sample(elapsed_s, len(posts), {"p99 ms": 0, "busy %": round(computed_s / elapsed_s * 100)})


def _sample(elapsed_s: float, count: int, facts: dict[str, float]) -> Sample:
    return Sample(ms=elapsed_s * 1000 / count, facts={"req/s": round(count / elapsed_s), **facts})


def _races(where: str, course: Course, endpoint: str, rounds: int) -> Iterator[Figure]:
    """Set ours beside each of the others."""
    news = Trial(
        label=where,
        contestants={
            "nothing": partial(course.strangers, "/nothing/", OK),
            "limit": partial(course.moves, "/limit/"),
            "optimum": partial(course.moves, "/optimum/"),
            "dj-stripe": partial(course.stripe, endpoint),
            "a listening shop": partial(course.moves, "/told/"),
            "CONN_MAX_AGE = 0": partial(course.moves, "/connecting/"),
            OURS: partial(course.moves, "/kaspi/webhook/"),
        },
    )
    unsigned = Trial(
        label=f"{where}: unauthenticated beside nothing",
        contestants={
            OTHER: partial(course.strangers, "/nothing/", OK),
            OURS: partial(course.strangers, "/kaspi/webhook/", UNAUTHORIZED),
        },
    )
    together, refused = play([news, unsigned], rounds)
    for name in list(together.samples)[:-1]:
        pair = {OTHER: together.samples[name], OURS: together.samples[OURS]}
        yield Figure(label=f"{where}: beside {name}", samples=pair)
    yield refused


def _judged(pairs: Iterable[Figure]) -> Iterator[Figure]:
    """Mark what is slower than it may be."""
    for pair in pairs:
        marks = [
            mark
            for words, least in LEAST_THROUGHPUT.items()
            if pair.label.endswith(words)
            for mark in _slow(pair, least)
        ]
        yield replace(pair, marks=marks + (_late(pair) if pair.label.endswith("optimum") else []))


def _slow(pair: Figure, least: float) -> list[str]:
    throughput = pair.ms(OTHER) / pair.ms(OURS)
    return [f"{throughput:.2f} of its throughput, not {least:g}"] if throughput < least else []


def _late(pair: Figure) -> list[str]:
    late = pair.fact("p99 ms", OURS) > MOST_P99 * pair.fact("p99 ms", OTHER)
    return [f"p99 above {MOST_P99:g} of its"] if late else []
