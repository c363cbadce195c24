"""The six call styles of a connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from . import _calls
from ._calls import Headers, Receiver, Receivers, Settings
from ._daffi_rs import Feed, ResultsOut
from ._feeding import feed_from
from ._incoming import converter
from ._serialization import SerdeFormat
from ._refusals import UNTOLD, receiver as _one, receivers as _several, tell_available, tell_peers
from .exceptions import CallTimeout, ReceiverNotFound, RemoteCallError, TransmissionFailure

if TYPE_CHECKING:
    from .app import Client

#: So many first calls at once find out whether a callback gives its results one by one.
_MAX_PROBES = 32


class Results(Iterator[Any]):
    """The results of a call, one by one. Closing it, or dropping it, gives the call up, which the callback can see."""

    def __init__(self, inner: Any, convert: Any = None, client: Any = None) -> None:
        self._inner = inner
        self._convert = convert
        #: Kept while there are results to come.
        self._client = client

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> Any:
        taken = self._inner.take() if self._inner is not None else None
        if taken is None:
            self._inner = self._client = None
            raise StopIteration
        return taken[0] if self._convert is None else self._convert(taken[0])

    def close(self) -> None:
        """Gives the call up."""
        if self._inner is not None:
            self._inner.close()
            self._inner = self._client = None

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Bound:
    """A callback of a proxy, to be called."""

    __slots__ = ("_name", "_proxy")

    def __init__(self, proxy: Any, name: str) -> None:
        self._proxy = proxy
        self._name = name

    def __repr__(self) -> str:
        return str(self._proxy._named(self._name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._proxy._call(self._name, args, kwargs)
        except ReceiverNotFound as error:
            self._proxy._tell_peers(error, self._name)
            raise


class _Proxy:
    """A call style with its options, which can be read; all other attributes are callbacks."""

    __slots__ = ("_conn", "_settings")
    _style = "call"

    def __init__(self, conn: Any, settings: Settings) -> None:
        self._conn = conn
        self._settings = settings

    @property
    def conn(self) -> Any:
        """The connection that the calls go through."""
        return self._conn

    @property
    def timeout(self) -> float:
        """Seconds until a call fails; 0 when it does not."""
        seconds = self._settings.seconds or 0
        return int(seconds) if seconds == int(seconds) else seconds

    @property
    def serde(self) -> int:
        """The format of arguments and results: one of `SerdeFormat`."""
        return self._settings.serde

    @property
    def logger(self) -> Any:
        """The logger of the client."""
        return self._conn.client.logger

    def __getattr__(self, name: str) -> _Bound:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Bound(self, name)

    def __repr__(self) -> str:
        return self._style

    def _named(self, name: str) -> str:
        return f"{self._style}(fn: {name!r})"

    def _call(self, name: str, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError

    def _tell_peers(self, error: ReceiverNotFound, name: str) -> None:
        """Has an error of this call say who is there. One that says it already is of another call."""
        if error.message.startswith(UNTOLD):
            tell_peers(error, self._unable(name), self._conn.client._peers())

    def _unable(self, name: str) -> str:
        return f"Unable to proceed with {self._style}(fn: {name!r})"

    def _timed_out(self, error: CallTimeout, name: str, began: float) -> CallTimeout:
        """The error for a call that this proxy made."""
        return CallTimeout(
            call=repr(self), timeout=error.timeout, elapsed=time.monotonic() - began, receivers=error.receivers, method=name
        )


class _ToOne(_Proxy):
    """Calls that go to one member."""

    __slots__ = ()

    @property
    def receiver(self) -> str:
        """The member that is called; empty when any that exposes the callback may be."""
        return ",".join(self._settings.receivers or ())

    @property
    def _receiver(self) -> set[str]:
        return set(self._settings.receivers or ())


class _Rpc(_ToOne):
    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self._style} to {self.receiver}" if self.receiver else self._style

    def _named(self, name: str) -> str:
        return f"{self!r}(fn: {name!r})"


class _Streamed(_ToOne):
    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(receiver: {self.receiver!r})"

    def _named(self, name: str) -> str:
        return f"{type(self).__name__}(fn: {name!r}, receiver: {self.receiver!r})"

    def _unable(self, name: str) -> str:
        return f"Unable to stream to {type(self).__name__}(fn: {name!r})"

    def _timed_out(self, error: CallTimeout, name: str, began: float) -> CallTimeout:
        timed_out = super()._timed_out(error, name, began)
        return CallTimeout(
            call=timed_out.call,
            timeout=timed_out.timeout,
            elapsed=timed_out.elapsed,
            receivers=self._receiver or None,
            method=name,
        )


class _Cast(_Proxy):
    """Calls that go to several."""

    __slots__ = ()
    #: As errors name it.
    _told = "call_all"

    def _tell_peers(self, error: ReceiverNotFound, name: str) -> None:
        if error.message.startswith(UNTOLD):
            tell_available(error, f"No receivers found for {self._told}(fn={name!r})", self._conn.client._peers())


class RpcProxy(_Rpc):
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
        began = time.monotonic()
        try:
            return self._made(name, args, kwargs)
        except CallTimeout as error:
            raise self._timed_out(error, name, began) from None

    def _made(self, name: str, args: Any, kwargs: Any) -> Any:
        client = self._conn.client
        node, policy, settings = client._connected(), client._policy, self._settings
        if self._items is not None and self._results:
            feed = Feed(settings.serde)
            results = node.call(_calls.DUPLEX, name, args, kwargs, settings, policy, feed)
            feed_from(feed, self._items)
            return Results(results, self._convert, client)
        if self._items is not None:
            value = node.call(_calls.SEND, name, args, kwargs, settings, policy, self._items)
        elif self._results or (self._results is None and client._may_stream(node, name)):
            with client._probe(name) as note:
                value = node.call(_calls.RESULTS, name, args, kwargs, settings, policy)
                note(isinstance(value, ResultsOut))
            if isinstance(value, ResultsOut):
                return Results(value, self._convert, client)
            if self._results:
                return iter([value if self._convert is None else self._convert(value)])
        else:
            value = node.call(_calls.RPC, name, args, kwargs, settings, policy)
        return value if self._convert is None else self._convert(value)


class RpcNowaitProxy(RpcProxy):
    """Calls of one member, which does not answer."""

    __slots__ = ()
    _style = "rpc_nowait"
    return_result = False

    def _call(self, name: str, args: Any, kwargs: Any) -> None:
        client = self._conn.client
        client._connected().call(_calls.RPC_NOWAIT, name, args, kwargs, self._settings, client._policy)


class BroadcastProxy(_Cast):
    """Calls of several members, each of which answers."""

    __slots__ = ()
    _style = "cast"
    return_result = True

    def _call(self, name: str, args: Any, kwargs: Any) -> Any:
        client = self._conn.client
        answers: dict[str, Any] = client._connected().call(
            _calls.CAST, name, args, kwargs, self._settings, client._policy
        )
        return answers


class BroadcastNowaitProxy(BroadcastProxy):
    """Calls of several members, none of which answers."""

    __slots__ = ()
    _style, _told = "cast_nowait", "cast_all"
    return_result = False

    def _call(self, name: str, args: Any, kwargs: Any) -> None:
        client = self._conn.client
        client._connected().call(_calls.CAST_NOWAIT, name, args, kwargs, self._settings, client._policy)


class StreamProxy(_Streamed):
    """Chunks to one member, each of which is acknowledged."""

    __slots__ = ()
    _style = "stream"
    _number = _calls.STREAM

    def _call(self, name: str, args: Any, kwargs: Any) -> None:
        began = time.monotonic()
        chunks = _calls.chunks_of(self._style, name, *args, **kwargs)
        client = self._conn.client
        try:
            client._connected().call(self._number, name, (), {}, self._settings, client._policy, chunks)
        except CallTimeout as error:
            timed_out = self._timed_out(error, name, began)
            timed_out.__dict__.update(chunk=error.__dict__.get("chunk"))
            raise timed_out from None


class StreamNowaitProxy(StreamProxy):
    """Chunks to one member, none of which is acknowledged."""

    __slots__ = ()
    _style = "stream_nowait"
    _number = _calls.STREAM_NOWAIT


class CallStyles:
    """The six call styles, which make proxies of their options; and who there is to be called."""

    _rpc: ClassVar[type]
    _rpc_nowait: ClassVar[type]
    _cast: ClassVar[type]
    _cast_nowait: ClassVar[type]
    _stream: ClassVar[type]
    _stream_nowait: ClassVar[type]

    def __init__(self, client: Any) -> None:
        self.client = client

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
        by_router: bool = False,
    ) -> Any:
        """Calls one member and gives its result: `conn.rpc(timeout=5).add(3, 4)`; on an event loop that is awaited.

        `timeout`: seconds, fractions of them, too; none unless it is given. `receiver`: the member, rather than one
        that exposes the callback, which take turns. `headers`: keys and values that travel with the call. `items`: what
        is sent one by one to a callback that takes `Incoming`. `results`: whether an iterator of results is given;
        without it one is when the callback gives its results one by one. With both `items` and `results` they go at
        once, in both directions. `returns`: the dataclass or model that the result is made of. `wait`: wait, within the
        timeout, until a member exposes the callback; at a Router of this project the call waits there, and goes to whoever
        comes. `by_router`: such a Router chooses who gets the call, by how much each member has to do for all callers.
        `key`: calls of one key go to one member, as long as that is there.

        On an event loop `async for row in conn.rpc().rows()` takes results one by one; a plain answer is a stream of one
        item there. Cancelling the task that awaits a call gives the call up, which the callback can see.
        """
        settings = Settings(serde, timeout, _one(receiver), headers, key, 1, wait, by_router)
        convert = None if returns is None else converter(returns) or returns
        return self._rpc(self, settings, items, results, convert)

    def rpc_nowait(
        self, receiver: Receiver = None, serde: int = SerdeFormat.PICKLE, *, headers: Headers = None
    ) -> Any:
        """Calls one member, which does not answer: returns once the request is queued."""
        return self._rpc_nowait(self, Settings(serde, None, _one(receiver), headers))

    def cast(
        self,
        timeout: float | None = None,
        receiver: Receivers = None,
        serde: int = SerdeFormat.PICKLE,
        *,
        headers: Headers = None,
    ) -> Any:
        """Calls every member that exposes the callback, or those named, and gives a dict of their results by name.

        In the place of a member's result stands its exception when it failed.
        """
        return self._cast(self, Settings(serde, timeout, _several(receiver), headers))

    def cast_nowait(self, receiver: Receivers = None, serde: int = SerdeFormat.PICKLE) -> Any:
        """Calls every member that exposes the callback, or those named, none of which answers."""
        return self._cast_nowait(self, Settings(serde, None, _several(receiver)))

    def stream(
        self,
        receiver: Receiver = None,
        serde: int = SerdeFormat.OPAQUE,
        timeout: float | None = None,
        *,
        window: int = 1,
    ) -> Any:
        """Calls a callback with each chunk, all on one member: `conn.stream().receive_chunk(chunks)`.

        The next chunk is sent when the one before was acknowledged; with a `window` so many may be under way at once.
        On an event loop the chunks may come from an async iterable.
        """
        return self._stream(self, Settings(serde, timeout, _one(receiver), None, None, window))

    def stream_nowait(self, receiver: Receiver = None, serde: int = SerdeFormat.OPAQUE) -> Any:
        """Calls a callback with each chunk, all on one member, without acknowledgements."""
        return self._stream_nowait(self, Settings(serde, None, _one(receiver)))

    def members(self) -> dict[str, list[str]]:
        """The members as the server last told, and what each exposes."""
        return dict(self.client._connected().members())

    def on_member_added(self, handler: Any) -> Any:
        """Has a handler told of members that come; on an event loop it may be async."""
        return self.client.on_member_added(handler)

    def on_member_removed(self, handler: Any) -> Any:
        """Has a handler told of members that go; on an event loop it may be async."""
        return self.client.on_member_removed(handler)


class ClientConnection(CallStyles):
    """Calls through a connected client."""

    client: Client
    _rpc, _rpc_nowait = RpcProxy, RpcNowaitProxy
    _cast, _cast_nowait = BroadcastProxy, BroadcastNowaitProxy
    _stream, _stream_nowait = StreamProxy, StreamNowaitProxy

    def wait_for_members(self, *members: str, timeout: float | None = None, interval: float = 1.0) -> None:
        """Waits until all these nodes are members. `interval` has no meaning here: nothing is polled."""
        self.client._wait_for_members(members, timeout)

    def __enter__(self) -> ClientConnection:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.__exit__(*error)


__all__ = [
    "BroadcastNowaitProxy",
    "BroadcastProxy",
    "CallTimeout",
    "ClientConnection",
    "RemoteCallError",
    "Results",
    "RpcNowaitProxy",
    "RpcProxy",
    "StreamNowaitProxy",
    "StreamProxy",
    "TransmissionFailure",
]
