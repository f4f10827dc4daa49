"""The races: each client makes as many calls, round after round, to one server that has a process of its own."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import requests

from benchmarks.client import contestants, server
from benchmarks.client.contestants import MOST_THREADS, Calls
from benchmarks.figures import Figure, Sample
from benchmarks.plan import Plan
from benchmarks.rounds import Trial, play

SHOWN = ("calls/s", "cpu ms", "server %", "ideal %")
OURS, OTHER = "ours", "other"
SESSION, BLIND, STRIPE = "session", "session without environment", "stripe"
THREADS = (1, 8, MOST_THREADS)
MOST = {SESSION: 1.1, BLIND: 1.1, STRIPE: 1.0}
SLICES = 10  # a round of short calls is over before the machine has turned to anything else
SHARE = 20  # a thread's calls, of the plan's: 50 of 1,000, so that a turn takes 2.5 s with any number of threads

Call = Callable[[], object]


def run(plan: Plan) -> Iterator[Figure]:
    """Race on loopback, one call after the other; then with threads, against the ideal."""
    with server.served() as url, ExitStack() as stack:
        yield from _pairs(play(list(_at_once(url, max(1, plan.requests // SLICES), stack)), plan.rounds * SLICES))
        each = max(1, plan.requests // SHARE)
        yield from _pairs(play(list(_late(url, each, stack)), plan.rounds))


def _at_once(url: str, laps: int, stack: ExitStack) -> Iterator[Trial]:
    clients = {
        SESSION: stack.enter_context(contestants.session(url)),
        BLIND: stack.enter_context(contestants.session(url, trust_env=False)),
        STRIPE: stack.enter_context(contestants.stripe_python(url)),
        OURS: stack.enter_context(contestants.ours(url)),
    }
    measured = partial(_measured, url, partial(_repeated, laps), laps)
    yield _trial("create", measured, {name: calls.book for name, calls in clients.items()})
    yield _trial("get", measured, {name: calls.ask for name, calls in clients.items()})


def _late(url: str, each: int, stack: ExitStack) -> Iterator[Trial]:
    clients: dict[str, Calls] = {
        SESSION: stack.enter_context(contestants.session(url + server.LATE)),
        OURS: stack.enter_context(contestants.ours(url + server.LATE)),
    }
    for threads in THREADS:
        measured = partial(_measured, url, partial(_threaded, threads, each), threads * each, ideal_s=_ideal_s(each))
        yield _trial(f"50 ms, {threads} at once", measured, {name: calls.book for name, calls in clients.items()})


def _ideal_s(each: int) -> float:
    return each * server.LATENCY_S


def _trial(label: str, measured: Callable[[Call], Sample], calls: Mapping[str, Call]) -> Trial:
    return Trial(label=label, contestants={name: partial(measured, call) for name, call in calls.items()})


def _measured(url: str, repeat: Callable[[Call], None], count: int, call: Call, *, ideal_s: float = 0.0) -> Sample:
    """Let a client call; count what this process computed for it, and the share of the time that the server did."""
    there, here, began = _computed_s(url), time.process_time(), time.perf_counter()
    repeat(call)
    elapsed_s = time.perf_counter() - began
    facts = {
        "calls/s": round(count / elapsed_s),
        "cpu ms": round((time.process_time() - here) * 1000 / count, 2),
        "server %": round((_computed_s(url) - there) / elapsed_s * 100),
        "ideal %": round(ideal_s / elapsed_s * 100),
    }
    return Sample(ms=elapsed_s * 1000 / count, facts=facts)


def _computed_s(url: str) -> float:
    return float(requests.get(url + server.COMPUTED, timeout=server.PATIENCE_S).json()["s"])


def _repeated(count: int, call: Call) -> None:
    for _ in range(count):
        call()


def _threaded(threads: int, each: int, call: Call) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for ended in [pool.submit(_repeated, each, call) for _ in range(threads)]:
            ended.result()


def _pairs(together: Iterator[Figure]) -> Iterator[Figure]:
    """Set ours beside each of the others, and mark what is slower than it may be."""
    for figure in together:
        for name in list(figure.samples)[:-1]:
            pair = {OTHER: figure.samples[name], OURS: figure.samples[OURS]}
            yield _judged(Figure(label=f"{figure.label}: beside {name}", samples=pair), MOST[name])


def _judged(pair: Figure, most: float) -> Figure:
    ratio = pair.ms(OURS) / pair.ms(OTHER)
    return replace(pair, marks=[f"{ratio:.2f} of its time, not {most:g}"]) if ratio > most else pair
