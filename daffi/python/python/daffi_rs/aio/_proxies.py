"""The six call styles of a connection, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from .. import _calls
from .._calls import Headers, Receiver, Receivers, Settings, is_chunks
from .._daffi_rs import Feed, ResultsOut
from .._incoming import converter
from .._proxies import _Proxy
from .._serialization import SerdeFormat
from ._port import AsyncResults, of_one, port_of_loop

if TYPE_CHECKING:
    from .app import AsyncClient


class Calling(Coroutine[Any, Any, Any]):
    """A call: awaited it gives its result, iterated over with `async for` its results one by one."""

    __slots__ = ("_coroutine", "_make")

    def __init__(self, make: Any) -> None:
        self._make = make
        self._coroutine: Any = None

    def _begun(self) -> Any:
        if self._coroutine is None:
            self._coroutine = self._make(None)
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        result: Generator[Any, Any, Any] = self._begun().__await__()
        return result

    def send(self, value: Any) -> Any:
        """Goes on with the call, as an event loop does."""
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        """Raises within the call."""
        return self._begun().throw(*error)

    def close(self) -> None:
        """Gives the call up."""
        if self._coroutine is not None:
            self._coroutine.close()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._items()

    async def _items(self) -> AsyncIterator[Any]:
        results = await self._make(True)
        async for item in results:
            yield item


class AsyncRpcProxy(_Proxy):
    """Calls of one member, which answers."""

    __slots__ = ("_convert", "_items", "_results")
    _style = "rpc"

    def __init__(self, conn: Any, settings: Settings, items: Any, results: bool | None, convert: Any) -> None:
        super().__init__(conn, settings)
        self._items = items
        self._results = results
        self._convert = convert

    def _call(self, name: str, args: Any, kwargs: Any) -> Calling:
        return Calling(lambda results: self._called(name, args, kwargs, results))

    async def _called(self, name: str, args: Any, kwargs: Any, results: bool | None) -> Any:
        client = self._conn.client
        node, policy, settings, port = client._connected(), client._policy, self._settings, port_of_loop()
        results = results or self._results
        if self._items is not None:
            value = await _feed(port, node, _calls.SEND, name, args, kwargs, settings, policy, self._items)
        elif results or (results is None and client._may_stream(node, name)):
            with client._probe(name) as note:
                value = await port.wait(
                    node.call_later(port.desk, _calls.RESULTS, name, args, kwargs, settings, policy)
                )
                note(isinstance(value, ResultsOut))
            if isinstance(value, ResultsOut):
                return AsyncResults(value, policy, self._convert)
        else:
            value = await port.wait(node.call_later(port.desk, _calls.RPC, name, args, kwargs, settings, policy))
        value = value if self._convert is None else self._convert(value)
        return of_one(value) if results else value


async def _feed(
    port: Any, node: Any, style: int, name: str, args: Any, kwargs: Any, settings: Settings, policy: Any, items: Any
) -> Any:
    """A call with what `items` gives, plain or async, one by one."""
    feed = Feed(settings.serde)
    number = node.call_later(port.desk, style, name, args, kwargs, settings, policy, feed)
    import asyncio

    call = asyncio.ensure_future(port.wait(number))
    try:
        if hasattr(items, "__aiter__"):
            async for item in items:
                await port.wait(feed.put(port.desk, item))
                if call.done():
                    break
        else:
            for item in items:
                await port.wait(feed.put(port.desk, item))
                if call.done():
                    break
    except BaseException:
        call.cancel()
        raise
    feed.finish()
    return await call


class _Simple(_Proxy):
    __slots__ = ()
    _number = _calls.RPC_NOWAIT

    async def _call(self, name: str, args: Any, kwargs: Any) -> Any:
        client, port = self._conn.client, port_of_loop()
        node = client._connected()
        return await port.wait(
            node.call_later(port.desk, self._number, name, args, kwargs, self._settings, client._policy)
        )


class AsyncRpcNowaitProxy(_Simple):
    """Calls of one member, which does not answer."""

    __slots__ = ()
    _style = "rpc_nowait"


class AsyncBroadcastProxy(_Simple):
    """Calls of several members, each of which answers."""

    __slots__ = ()
    _style, _number = "cast", _calls.CAST


class AsyncBroadcastNowaitProxy(_Simple):
    """Calls of several members, none of which answers."""

    __slots__ = ()
    _style, _number = "cast_nowait", _calls.CAST_NOWAIT


class AsyncStreamProxy(_Proxy):
    """Chunks to one member, each of which is acknowledged."""

    __slots__ = ()
    _style = "stream"
    _number = _calls.STREAM

    async def _call(self, name: str, args: Any, kwargs: Any) -> None:
        if len(args) != 1 or kwargs:
            raise TypeError(f"{self._style}() takes what gives the chunks and nothing else: {self._style}().{name}(chunks)")
        chunks = args[0] if is_chunks(args[0]) else [args[0]]
        client, port = self._conn.client, port_of_loop()
        await _feed(
            port, client._connected(), self._number, name, (), {}, self._settings, client._policy, chunks
        )


class AsyncStreamNowaitProxy(AsyncStreamProxy):
    """Chunks to one member, none of which is acknowledged."""

    __slots__ = ()
    _style, _number = "stream_nowait", _calls.STREAM_NOWAIT


class AsyncClientConnection:
    """Calls through a connected client."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    def on_member_added(self, handler: Any) -> Any:
        """Has a handler, plain or async, told of members that come."""
        return self.client.on_member_added(handler)

    def on_member_removed(self, handler: Any) -> Any:
        """Has a handler, plain or async, told of members that go."""
        return self.client.on_member_removed(handler)

    def rpc(
        self,
        timeout: float | None = None,
        receiver: Receiver = None,
        serde: int = SerdeFormat.PICKLE,
        *,
        headers: Headers = None,
        items: Any = None,
        results: bool | None = None,
        returns: Any = None,
        wait: bool = False,
        key: str | None = None,
    ) -> Any:
        """Calls one member: `await conn.rpc(timeout=5).add(3, 4)`. Options as those of `ClientConnection.rpc`.

        `async for row in conn.rpc().rows()` takes results one by one; a plain answer is a stream of one item there.
        Cancelling the task that awaits a call gives the call up, which the callback can see.
        """
        settings = Settings(serde, timeout, receiver, headers, key, 1, wait)
        return AsyncRpcProxy(self, settings, items, results, None if returns is None else converter(returns) or returns)

    def rpc_nowait(
        self, receiver: Receiver = None, serde: int = SerdeFormat.PICKLE, *, headers: Headers = None
    ) -> Any:
        """Calls one member, which does not answer: returns once the request is queued."""
        return AsyncRpcNowaitProxy(self, Settings(serde, None, receiver, headers))

    def cast(
        self,
        timeout: float | None = None,
        receiver: Receivers = None,
        serde: int = SerdeFormat.PICKLE,
        *,
        headers: Headers = None,
    ) -> Any:
        """Calls every member that exposes the callback, or those named, and gives a dict of their results by name."""
        return AsyncBroadcastProxy(self, Settings(serde, timeout, receiver, headers))

    def cast_nowait(self, receiver: Receivers = None, serde: int = SerdeFormat.PICKLE) -> Any:
        """Calls every member that exposes the callback, or those named, none of which answers."""
        return AsyncBroadcastNowaitProxy(self, Settings(serde, None, receiver))

    def stream(
        self,
        receiver: Receiver = None,
        serde: int = SerdeFormat.OPAQUE,
        timeout: float | None = None,
        *,
        window: int = 1,
    ) -> Any:
        """Calls a callback with each chunk that an iterable, plain or async, gives, all on one member."""
        return AsyncStreamProxy(self, Settings(serde, timeout, receiver, window=window))

    def stream_nowait(self, receiver: Receiver = None, serde: int = SerdeFormat.OPAQUE) -> Any:
        """Calls a callback with each chunk, all on one member, without acknowledgements."""
        return AsyncStreamNowaitProxy(self, Settings(serde, None, receiver))

    async def wait_for_members(self, *members: str, timeout: float | None = None, interval: float = 1.0) -> None:
        """Waits until all these nodes are members. `interval` has no meaning here: nothing is polled."""
        await self.client._wait_for_members_there(members, timeout)

    def members(self) -> dict[str, list[str]]:
        """The members as the server last told, and what each exposes."""
        return dict(self.client._connected().members())

    async def __aenter__(self) -> AsyncClientConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.stop()
