"""SIGINT and SIGTERM, which stop nodes in order."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


class Signalled(BaseException):
    """A signal ended the waiting."""


class Caught:
    """The signals that came, and whether somebody waits who is to be interrupted by one."""

    __slots__ = ("numbers", "waits")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.waits = False


@contextlib.contextmanager
def caught() -> Iterator[Caught]:
    """SIGINT and SIGTERM end the waiting of the main thread, unless the program handles them itself."""
    caught = Caught()
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def handle(number: int, _: Any) -> None:
        caught.numbers.append(number)
        if caught.waits:
            caught.waits = False
            raise Signalled

    before = {}
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) in (default, _ends_nodes):
            before[number] = signal.signal(number, handle)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


#: What stops the nodes that run.
_stop_all: Callable[[], None]


def _ends_nodes(*_: Any) -> NoReturn:
    try:
        _stop_all()
    finally:
        raise SystemExit(0)


def end_at_sigterm(stop_all: Callable[[], None]) -> None:
    """SIGTERM ends the program with code 0, as in 3.0.1, once its nodes are stopped, unless it handles the signal."""
    global _stop_all
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        _stop_all = stop_all
        signal.signal(signal.SIGTERM, _ends_nodes)
