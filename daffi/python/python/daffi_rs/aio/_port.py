"""Where an event loop meets the engine."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

from .._daffi_rs import Desk


class Port:
    """The desk of an event loop: what is waited for there is told by number."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.desk = Desk(bell=True)
        self._futures: dict[int, asyncio.Future[Any]] = {}
        # It must not keep the loop, which keeps it.
        self.loop = weakref.ref(loop)
        fd = self.desk.fileno()
        assert fd is not None  # a desk with a bell has one
        loop.add_reader(fd, self._heard)

    def _heard(self) -> None:
        for kind, number, value in self.desk.take_all():
            future = self._futures.pop(number, None)
            if future is None or future.done():
                continue
            if kind == "done":
                future.set_result(value)
            else:
                future.set_exception(value)

    async def wait(self, number: int) -> Any:
        """Waits for what was begun under this number; cancelled, it is given up."""
        future = self._futures[number] = asyncio.get_running_loop().create_future()
        try:
            return await future
        except asyncio.CancelledError:
            self.desk.give_up(number)
            raise
        finally:
            self._futures.pop(number, None)


#: The one that was asked for last.
_last: Port | None = None
_ports: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Port] = weakref.WeakKeyDictionary()


def port_of_loop() -> Port:
    """The port of the running loop."""
    global _last
    loop = asyncio.get_running_loop()
    port = _last
    if port is not None and port.loop() is loop:
        return port
    port = _ports.get(loop)
    if port is None:
        port = _ports[loop] = Port(loop)
    _last = port
    return port


class AsyncResults(AsyncIterator[Any]):
    """The results of a call, one by one. Closing it, or dropping it, gives the call up, which the callback can see."""

    def __init__(self, inner: Any, policy: Any, convert: Callable[[Any], Any] | None = None) -> None:
        self._inner = inner
        self._policy = policy
        self._convert = convert

    def __aiter__(self) -> AsyncResults:
        return self

    async def __anext__(self) -> Any:
        if self._inner is None:
            raise StopAsyncIteration
        port = port_of_loop()
        item = await port.wait(self._inner.take_later(port.desk))
        if item is None:
            self._inner = None
            raise StopAsyncIteration
        value = item.read(self._policy)
        return value if self._convert is None else self._convert(value)

    async def aclose(self) -> None:
        """Gives the call up."""
        if self._inner is not None:
            self._inner.close()
            self._inner = None

    async def __aenter__(self) -> AsyncResults:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def of_one(value: Any) -> AsyncIterator[Any]:
    """A stream of one item."""
    yield value
