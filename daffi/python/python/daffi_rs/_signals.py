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


def ends_by_default(number: int, handler: Any) -> bool:
    """Whether a signal with this handler ends the program, since that does not handle it itself."""
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    return handler in (default, _ends_nodes)


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
    for number in (signal.SIGINT, signal.SIGTERM):
        if ends_by_default(number, signal.getsignal(number)):
            before[number] = signal.signal(number, handle)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


#: What stops the nodes that run.
_stop_all: Callable[[], None]


class _Term:
    """What SIGTERM is to wait for, where it ends the program."""

    __slots__ = ("ends", "heard", "stops")

    def __init__(self) -> None:
        #: How many stops are under way on the main thread, one within another.
        self.stops = 0
        #: Whether the signal came in one of them.
        self.heard = False
        #: Whether the program ends already.
        self.ends = False


_term = _Term()


def end_program() -> NoReturn:
    """Stops the nodes that run, and ends the program with code 0."""
    _term.ends = True
    try:
        _stop_all()
    finally:
        # The program may go on in spite of that.
        _term.ends = _term.heard = False
        raise SystemExit(0)


def _ends_nodes(*_: Any) -> None:
    if _term.stops and not _term.heard and not _term.ends:
        # It has begun what the signal asks for. A second one cuts it off.
        _term.heard = True
        return
    end_program()


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """A node stops in order, after which the program ends if SIGTERM came meanwhile and ends it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _term.stops += 1
    try:
        yield
    finally:
        _term.stops -= 1
        if _term.heard and not _term.stops and not _term.ends:
            end_program()


def end_at_sigterm(stop_all: Callable[[], None]) -> None:
    """SIGTERM ends the program with code 0, as in 3.0.1, once its nodes are stopped, unless it handles the signal."""
    global _stop_all
    main = threading.current_thread() is threading.main_thread()
    _stop_all = stop_all
    if main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _ends_nodes)
