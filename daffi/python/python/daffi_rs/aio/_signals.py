"""SIGINT and SIGTERM on an event loop, for those who wait there until a node ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from .._signals import ends_by_default


class Heard:
    """What one of those who wait has heard."""

    __slots__ = ("numbers", "once")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        #: Set with the first signal.
        self.once = asyncio.Event()


class _Ears:
    """Who waits on a loop, and what the signals did before the first of them came."""

    __slots__ = ("before", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Heard] = []
        self.before: dict[int, Any] = {}

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            if not (ends_by_default(number, before) or _is_of_asyncio(before)):
                continue  # the program handles it itself
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.add_signal_handler(number, self._hear, number)
                self.before[number] = before

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        for number, before in self.before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)
        self.before.clear()

    def _hear(self, number: int) -> None:
        for heard in self.waiting:
            heard.numbers.append(number)
            heard.once.set()


def _is_of_asyncio(handler: Any) -> bool:
    """Whether it is what `asyncio.run` has SIGINT do: it cancels what runs."""
    return isinstance(handler, functools.partial) and getattr(handler.func, "__name__", "") == "_on_sigint"


_ears: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Ears] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def heard() -> Iterator[Heard]:
    """Tells of SIGINT and SIGTERM, unless the program handles them itself. Only the main thread hears any."""
    own = Heard()
    if threading.current_thread() is not threading.main_thread():
        yield own
        return
    loop = asyncio.get_running_loop()
    ears = _ears.setdefault(loop, _Ears())
    if not ears.waiting:
        ears.open(loop)
    ears.waiting.append(own)
    try:
        yield own
    finally:
        ears.waiting.remove(own)
        if not ears.waiting:
            ears.close(loop)
