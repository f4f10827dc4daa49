"""A process for each contestant, with a connection and caches of its own."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

import django

from benchmarks import engines

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


SETTINGS = "benchmarks.settings"


def set_up(url: str, settings: str = SETTINGS) -> None:
    """Make this process one of a shop whose `default` database has this address."""
    os.environ.update(engines.environment(url, settings))
    django.setup()


class Contestant:
    """Does in its process what it is given: functions of importable modules, values that can be pickled."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def begin(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Let it do something, and return at once."""
        return self._pool.submit(work, *args, **kwargs)

    def do(self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Let it do something, and return what that returned, or raise what it raised."""
        return self.begin(work, *args, **kwargs).result()


@contextmanager
def started(urls: Sequence[str], settings: str = SETTINGS) -> Iterator[list[Contestant]]:
    """Start a process for each database, and end them all afterwards."""
    context = get_context("spawn")
    with ExitStack() as stack:
        pools = [
            ProcessPoolExecutor(1, mp_context=context, initializer=set_up, initargs=(url, settings)) for url in urls
        ]
        yield [Contestant(stack.enter_context(pool)) for pool in pools]
