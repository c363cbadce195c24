"""The six call styles of a connection, for asyncio."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from .. import _calls
from .._calls import Settings
from .._daffi_rs import Feed, ResultsOut
from .._rpc_proxy import CallStyles, _Cast, _Rpc, _Streamed
from ..exceptions import CallTimeout, ReceiverNotFound
from ._feeding import feed_all, feed_beside
from ._port import AsyncResults, of_one, port_of_loop

if TYPE_CHECKING:
    from .app import AsyncClient

Steps = Generator[Any, Any, Any]
log = logging.getLogger("daffi_rs")


class Calling(Coroutine[Any, Any, Any]):
    """A call: awaited it gives its result, iterated over with `async for` its results one by one."""

    __slots__ = ("_args", "_kwargs", "_name", "_proxy", "_steps")

    def __init__(self, proxy: AsyncRpcProxy, name: str, args: Any, kwargs: Any) -> None:
        self._proxy, self._name, self._args, self._kwargs = proxy, name, args, kwargs
        self._steps: Steps | None = None

    def __await__(self) -> Steps:
        if self._steps is None:
            self._steps = self._proxy._begin(self._name, self._args, self._kwargs, self._proxy._results)
        return self._steps

    def send(self, value: Any) -> Any:
        """Goes on with the call, as an event loop does."""
        return self.__await__().send(value)

    def throw(self, *error: Any) -> Any:
        """Raises within the call."""
        return self.__await__().throw(*error)

    def close(self) -> None:
        """Gives the call up."""
        self.__await__().close()

    def __aiter__(self) -> AsyncIterator[Any]:
        # The steps of a call that is awaited are not taken.
        self._steps = _nothing()
        return self._items()

    async def _items(self) -> AsyncIterator[Any]:
        results = await _Results(self)
        async for item in results:
            yield item

    def __del__(self) -> None:
        if getattr(self, "_steps", self) is None:
            # As of a coroutine, which sends nothing before it is awaited either.
            what = f"the call of {self._name!r} was never awaited, so nothing was sent"
            with contextlib.suppress(Exception):
                warnings.warn(what, RuntimeWarning, stacklevel=2)


def _nothing() -> Steps:
    return None
    yield  # makes it a generator


class _Results:
    """A call whose results are wanted one by one."""

    __slots__ = ("_calling",)

    def __init__(self, calling: Calling) -> None:
        self._calling = calling

    def __await__(self) -> Steps:
        calling = self._calling
        return calling._proxy._begin(calling._name, calling._args, calling._kwargs, True)


class AsyncRpcProxy(_Rpc):
    """Calls of one member, which answers."""

    __slots__ = ("_convert", "_items", "_results")
    _style = "rpc call"
    return_result = True

    def __init__(
        self, conn: Any, settings: Settings, items: Any = None, results: bool | None = None, convert: Any = None
    ) -> None:
        self._conn = conn
        self._settings = settings
        self._items = items
        self._results = results
        self._convert = convert

    def _call(self, name: str, args: Any, kwargs: Any) -> Any:
        return Calling(self, name, args, kwargs)

    def _begin(self, name: str, args: Any, kwargs: Any, results: bool | None) -> Steps:
        began = time.monotonic()
        try:
            return (yield from self._made(name, args, kwargs, results))
        except CallTimeout as error:
            raise self._timed_out(error, name, began) from None
        except ReceiverNotFound as error:
            self._tell_peers(error, name)
            raise

    def _made(self, name: str, args: Any, kwargs: Any, results: bool | None) -> Steps:
        client, port = self._conn.client, port_of_loop()
        node, policy, settings = client._connected(), client._policy, self._settings
        if self._items is not None:
            style = _calls.DUPLEX if results else _calls.SEND
            value = yield from self._fed(style, name, args, kwargs, port, node).__await__()
        elif results or (results is None and client._may_stream(node, name)):
            with client._probe(name) as note:
                value = yield from port.steps(
                    node.call_later(port.desk, _calls.RESULTS, name, args, kwargs, settings, policy)
                )
                note(isinstance(value, ResultsOut))
            if isinstance(value, ResultsOut):
                return AsyncResults(value, policy, self._convert, client=client)
        else:
            value = yield from port.steps(node.call_later(port.desk, _calls.RPC, name, args, kwargs, settings, policy))
        if isinstance(value, AsyncResults):
            return value
        value = value if self._convert is None else self._convert(value)
        return of_one(value) if results else value

    async def _fed(self, style: int, name: str, args: Any, kwargs: Any, port: Any, node: Any) -> Any:
        client, settings = self._conn.client, self._settings
        policy, feed = client._policy, Feed(settings.serde)
        begun = node.call_later(port.desk, style, name, args, kwargs, settings, policy, feed)
        if style == _calls.SEND:
            return await feed_all(port, feed, self._items, begun)
        value = await port.wait(begun)
        return AsyncResults(value, policy, self._convert, feed_beside(port, feed, self._items), client)


class Begun(Coroutine[Any, Any, None]):
    """A call without an answer, which is on its way whether or not it is awaited; awaited it says what became of it."""

    __slots__ = ("_error", "_steps")

    def __init__(self, proxy: Any, name: str, begin: Callable[[Any], Any]) -> None:
        self._error: Exception | None = None
        try:
            port = port_of_loop()
            begun = begin(port)
            steps = port.steps(begun)
            # Most calls are on their way by now, and nothing comes of them any more.
            self._steps: Steps = _telling(proxy, name, steps) if type(begun) is int else steps
        except Exception as error:
            if isinstance(error, ReceiverNotFound):
                proxy._tell_peers(error, name)
            self._error, self._steps = error, self._fail(error)

    def _fail(self, error: Exception) -> Steps:
        self._error = None
        raise error
        yield  # makes it a generator

    def __del__(self) -> None:
        if getattr(self, "_error", None) is not None:
            log.warning("a call that nobody awaited was not sent: %s", self._error)

    def __await__(self) -> Steps:
        return self._steps

    def send(self, value: Any) -> Any:
        """Goes on waiting, as an event loop does."""
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        """Raises within the waiting."""
        return self._steps.throw(*error)

    def close(self) -> None:
        """Waits no more."""
        self._steps.close()


def _telling(proxy: Any, name: str, steps: Steps) -> Steps:
    """The steps of a call, whose error says who is there."""
    try:
        return (yield from steps)
    except ReceiverNotFound as error:
        proxy._tell_peers(error, name)
        raise


class AsyncRpcNowaitProxy(AsyncRpcProxy):
    """Calls of one member, which does not answer."""

    __slots__ = ()
    _style = "rpc_nowait"
    return_result = False

    def _call(self, name: str, args: Any, kwargs: Any) -> Begun:
        return Begun(self, name, lambda port: _simple(self, port, _calls.RPC_NOWAIT, name, args, kwargs))


def _simple(proxy: Any, port: Any, style: int, name: str, args: Any, kwargs: Any) -> Any:
    client = proxy._conn.client
    return client._connected().call_later(port.desk, style, name, args, kwargs, proxy._settings, client._policy)


class AsyncBroadcastProxy(_Cast):
    """Calls of several members, each of which answers."""

    __slots__ = ()
    _style = "cast"
    return_result = True

    def _call(self, name: str, args: Any, kwargs: Any) -> Coroutine[Any, Any, Any]:
        return self._cast(name, args, kwargs)

    async def _cast(self, name: str, args: Any, kwargs: Any) -> Any:
        port = port_of_loop()
        try:
            return await port.wait(_simple(self, port, _calls.CAST, name, args, kwargs))
        except ReceiverNotFound as error:
            self._tell_peers(error, name)
            raise


class AsyncBroadcastNowaitProxy(AsyncBroadcastProxy):
    """Calls of several members, none of which answers."""

    __slots__ = ()
    _style, _told = "cast_nowait", "cast_all"
    return_result = False

    def _call(self, name: str, args: Any, kwargs: Any) -> Begun:
        return Begun(self, name, lambda port: _simple(self, port, _calls.CAST_NOWAIT, name, args, kwargs))


class AsyncStreamProxy(_Streamed):
    """Chunks to one member, each of which is acknowledged."""

    __slots__ = ()
    _style = "stream"
    _number = _calls.STREAM

    async def _call(self, name: str, args: Any, kwargs: Any) -> None:
        began = time.monotonic()
        chunks = _calls.chunks_of(self._style, name, *args, **kwargs)
        client, port, settings = self._conn.client, port_of_loop(), self._settings
        feed = Feed(settings.serde)
        begun = client._connected().call_later(port.desk, self._number, name, (), {}, settings, client._policy, feed)
        try:
            await feed_all(port, feed, chunks, begun)
        except CallTimeout as error:
            timed_out = self._timed_out(error, name, began)
            timed_out.__dict__.update(chunk=error.__dict__.get("chunk"))
            raise timed_out from None
        except ReceiverNotFound as error:
            self._tell_peers(error, name)
            raise


class AsyncStreamNowaitProxy(AsyncStreamProxy):
    """Chunks to one member, none of which is acknowledged."""

    __slots__ = ()
    _style, _number = "stream_nowait", _calls.STREAM_NOWAIT


class AsyncClientConnection(CallStyles):
    """Calls through a connected client."""

    client: AsyncClient
    _rpc, _rpc_nowait = AsyncRpcProxy, AsyncRpcNowaitProxy
    _cast, _cast_nowait = AsyncBroadcastProxy, AsyncBroadcastNowaitProxy
    _stream, _stream_nowait = AsyncStreamProxy, AsyncStreamNowaitProxy

    async def wait_for_members(self, *members: str, timeout: float | None = None, interval: float = 1.0) -> None:
        """Waits until all these nodes are members. `interval` has no meaning here: nothing is polled."""
        await self.client._wait_for_members_there(members, timeout)

    async def __aenter__(self) -> AsyncClientConnection:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.__aexit__(*error)
