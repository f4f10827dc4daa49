"""Stop a command by SIGTERM or SIGINT, and restore the handlers of the program that called it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopped_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` at a signal. Only the main thread can receive one: a command in another thread runs without."""
    is_main = threading.current_thread() is threading.main_thread()
    numbers = SIGNALS if is_main else ()
    before = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: it was not set by Python
