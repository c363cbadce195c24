"""Where an event loop meets the engine."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

from .._daffi_rs import Desk
from ._feeding import end, stop


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
                continue
            try:
                future.set_exception(value)
            except TypeError:  # a StopIteration, which no future may end with
                failed = RuntimeError(f"what was awaited raised {type(value).__name__}")
                failed.__cause__ = value
                future.set_exception(failed)

    def _future(self, begun: int) -> asyncio.Future[Any]:
        loop = self.loop()
        assert loop is not None  # it runs
        future = self._futures[begun] = loop.create_future()
        return future

    def steps(self, begun: Any) -> Generator[Any, Any, Any]:
        """What came of what was begun at the desk just now; cancelled, it is given up."""
        return _given(begun[0]) if type(begun) is tuple else self._awaited(begun, self._future(begun))

    def _awaited(self, begun: int, future: asyncio.Future[Any]) -> Generator[Any, Any, Any]:
        try:
            return (yield from future)
        except asyncio.CancelledError:
            self.desk.give_up(begun)
            raise
        finally:
            self._futures.pop(begun, None)

    def give_up(self, begun: Any) -> None:
        """Gives up what was begun, whether or not anybody waits for it."""
        if type(begun) is int:
            self.desk.give_up(begun)
            self._futures.pop(begun, None)

    def wait(self, begun: Any) -> Waiting:
        """What was begun, to be awaited later, too: what is told before is not lost."""
        return Waiting(self, begun)


class Waiting:
    """What was begun at the desk of a loop, to be awaited there once."""

    __slots__ = ("_steps",)

    def __init__(self, port: Port, begun: Any) -> None:
        self._steps = port.steps(begun)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._steps


def _given(value: Any) -> Generator[Any, Any, Any]:
    return value
    yield  # makes it a generator


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


#: So many results that are there already are taken at once before others on the loop have their turn.
_AT_ONCE = 64


class AsyncResults(AsyncIterator[Any]):
    """The results of a call, one by one. Closing it, or dropping it, gives the call up, which the callback can see."""

    def __init__(
        self,
        inner: Any,
        policy: Any,
        convert: Callable[[Any], Any] | None = None,
        feeding: asyncio.Task[None] | None = None,
        client: Any = None,
    ) -> None:
        self._inner = inner
        #: Kept while there are results to come.
        self._client = client
        self._policy = policy
        self._convert = convert
        #: Sends what goes to the callback meanwhile.
        self._feeding = feeding
        self._at_once = 0

    def __aiter__(self) -> AsyncResults:
        return self

    async def __anext__(self) -> Any:
        if self._inner is None:
            raise StopAsyncIteration
        port = port_of_loop()
        begun = self._inner.take_later(port.desk)
        if type(begun) is tuple:
            self._at_once += 1
            if self._at_once == _AT_ONCE:
                self._at_once = 0
                await asyncio.sleep(0)
        try:
            item = await port.wait(begun)
        except Exception:
            self._end_feeding()
            raise
        if item is None:
            self._inner = self._client = None
            self._end_feeding()
            raise StopAsyncIteration
        value = item.read(self._policy)
        return value if self._convert is None else self._convert(value)

    def _end_feeding(self) -> None:
        # The call has ended, and its source may give nothing for long.
        if self._feeding is not None:
            stop(self._feeding)

    async def aclose(self) -> None:
        """Gives the call up."""
        if self._inner is not None:
            self._inner.close()
            self._inner = self._client = None
        if self._feeding is not None:
            await end(self._feeding)

    def __del__(self) -> None:
        feeding = getattr(self, "_feeding", None)
        if feeding is not None and not feeding.done():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its tasks with it
                feeding.get_loop().call_soon_threadsafe(stop, feeding)

    async def __aenter__(self) -> AsyncResults:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def of_one(value: Any) -> AsyncIterator[Any]:
    """A stream of one item."""
    yield value
