"""The nodes: Service, Router and Client."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import _daffi_rs, _keeping
from ._application import Application, EventsMixin, ServerMode
from ._options import Options, check_workers
from ._refusals import Peers, check_members, not_listening
from ._rpc_proxy import _MAX_PROBES, ClientConnection
from .exceptions import ConnectionLost, InitializationError, NodeEvicted
from .registry._executor_registry import EXECUTOR_REGISTRY

#: In compat mode `join` gives a server up that is gone for so many seconds: 3.0.1 tries once.
_LOST_AFTER = 1.0
#: Telling who is there takes at most this share of the time of a program whose calls all fail.
_TELLING = 0.05
log = logging.getLogger("daffi_rs")


class ServerMixin(Application):
    """What nodes that listen have in common."""

    def _start(self) -> Any:
        raise NotImplementedError

    def start(self) -> None:
        """Listens, and returns once it does. With port 0 `port` is the real one then."""
        with self._life:
            if self._node is not None:
                raise RuntimeError(f"{type(self).__name__} is already started")
            _keeping.make_way(self)
            try:
                node = self._start()
            except InitializationError as error:
                raise not_listening(error) from None
            self._begun(node)
        self._note_port(node.endpoints()[0])

    def _note_port(self, endpoint: str) -> None:
        if not endpoint.startswith("unix://"):
            self.port = int(endpoint.rpartition(":")[2])

    @property
    def endpoints(self) -> list[str]:
        """Where it listens."""
        return list(self._node.endpoints()) if self._node is not None else []

    def __enter__(self) -> Any:
        if self._node is None:
            self.start()
        return self


class Service(ServerMixin):
    """Listens, and runs the callbacks of this process for clients.

    `workers` callbacks run at once. `tls` needs `cert_file` and `key_file`; with `ca_file` only clients with a
    certificate of that authority get in. `addresses` are endpoints in place of host and port: `["tcp://0.0.0.0:5000",
    "unix:///run/calc.sock"]`. `pickle="trusting"` reads pickles as Python does, which runs what they say. `grace`: how
    many seconds `stop` waits for callbacks. `max_body`: the largest arguments or result in bytes (128 MiB);
    `max_values`: how many values they may have (4 194 304), where pickles are not read as Python does;
    `max_connections` (10 000); `budget`: bytes that all peers together can make the node hold (256 MiB).
    """

    server_mode = ServerMode.SERVICE
    _meaningless = ("token",)

    def _start(self) -> Any:
        check_workers(self.workers)
        options = Options(self)
        runner, names = self._expose()
        try:
            node = _daffi_rs.serve(options, names, runner.desk, self._listening())
        except BaseException:
            runner.close()
            raise
        EXECUTOR_REGISTRY.subscribers.append(self._told)
        return node

    def members(self) -> list[str]:
        """The names of the clients that are connected."""
        return list(self._node.members()) if self._node is not None else []


class Router(ServerMixin):
    """Listens, and joins clients that call each other. It exposes nothing itself, and reads no payload."""

    server_mode = ServerMode.ROUTER
    _meaningless = ("token", "pickle", "max_values")

    def _start(self) -> Any:
        return _daffi_rs.serve_router(Options(self), self._listening())

    def members(self) -> dict[str, list[str]]:
        """The members, and what each exposes."""
        return dict(self._node.members()) if self._node is not None else {}


class Client(Application):
    """Connects to a Service or a Router: it calls, and exposes the callbacks of this process.

    A lost connection is made again for as long as the client lives; calls that were open fail. With several `addresses`
    of one network, those of two Routers for one, it uses one at a time, goes to the next when that fails, and begins with
    any of them; a worker that is to serve at two Routers is two clients. `tls` verifies the
    server's certificate and its name, by `ca_file` or else by what the platform trusts. `token`: what the client shows
    its server, by which the server's policy knows it; never to a server of daffi 3.0.1.
    """

    _known_streams: dict[str, bool]
    _probes = 0
    #: Who was there, and until when errors say so.
    _seen: tuple[Peers, float] | None = None
    _meaningless = ("max_connections",)

    @property
    def _conn_type(self) -> str | None:
        """What it is connected to: `"service"` or `"router"`."""
        role: str | None = self._node.server() if self._node is not None and self._is_here() else None
        return role

    @property
    def info(self) -> str:
        """Where it connects, and to what."""
        server = self._conn_type
        return f"{super().info[:-2]}, type: {server!r} ]" if server else super().info

    def connect(self) -> ClientConnection:
        """Connects, and gives what calls are made through."""
        self._do_connect()
        return ClientConnection(self)

    def _do_connect(self) -> None:
        with self._life:
            if self._node is not None:
                raise RuntimeError("Client is already connected")
            check_workers(self.workers)
            options = Options(self)
            _keeping.make_way(self)
            runner, names = self._expose()
            try:
                with self._connecting(options):
                    node = _daffi_rs.connect(options, names, runner.desk, self._listening())
            except BaseException:
                runner.close()
                raise
            EXECUTOR_REGISTRY.subscribers.append(self._told)
            self._known_streams = {}
            self._begun(node)

    @contextlib.contextmanager
    def _connecting(self, options: Options) -> Iterator[None]:
        try:
            yield
        except InitializationError as error:
            where, why = " or ".join(options.endpoints), error.message
            if not self._addresses:
                why = why.removeprefix(f"cannot connect to {where}: ")
            elif where not in why:
                why = f"{where}: {why}"
            raise InitializationError(f"Failed to connect to the server. connection info: {self.info} ({why})") from None

    def _is_lost(self) -> bool:
        node = self._node
        return node is not None and self._is_here() and bool(node.is_lost())

    def _is_over(self) -> bool:
        node = self._node
        return node is not None and self._is_here() and node.ended() is not None

    def _connected(self) -> Any:
        node = self._node
        if node is None:
            raise ConnectionLost(f"client {self.app_name} is not connected: call connect() first")
        return node

    def _wait_for_members(self, members: tuple[str, ...], timeout: float | None) -> None:
        check_members(members, timeout)
        try:
            self._connected().wait_for_members(list(members), timeout)
        except TimeoutError:
            raise self._missing(members, timeout) from None

    def _missing(self, members: tuple[str, ...], timeout: float | None) -> TimeoutError:
        node = self._node
        there = {name for name, _ in node.members()} if node is not None else set()
        missing = sorted(set(members) - there)
        names = ", ".join(map(repr, missing))
        return TimeoutError(f"Timed out after {timeout}s waiting for members: {{{names}}}")

    def _peers(self) -> Peers:
        """Who is there, for errors. In a large network it is looked up the less often, as it takes the longer."""
        seen, began = self._seen, time.monotonic()
        if seen is not None and began < seen[1]:
            return seen[0]
        members: dict[str, list[str]] = {}
        # The client may be stopped meanwhile, and the error is that of the call all the same.
        with contextlib.suppress(Exception):
            members = dict(self._node.members())
        peers, now = Peers(members), time.monotonic()
        self._seen = peers, now + (now - began) / _TELLING
        return peers

    def _may_stream(self, node: Any, name: str) -> bool:
        known = self._known_streams.get(name)
        if known is not None:
            return known
        return self._probes < _MAX_PROBES and node.level(name) == 4

    @contextlib.contextmanager
    def _probe(self, name: str) -> Iterator[Callable[[bool], None]]:
        """A call that finds out whether a callback gives its results one by one."""
        self._probes += 1
        try:
            yield lambda streams: self._known_streams.__setitem__(name, streams)
        finally:
            self._probes -= 1

    def _joined(self, node: Any) -> Exception | None:
        if not node.join(_LOST_AFTER if self._compat else None):
            return self._gone()
        return self._ended_by_itself(node)

    def _gone(self) -> Exception:
        return ConnectionLost(f"the server of {self.app_name} is gone, and it could not be connected again")

    def _ended_by_itself(self, node: Any) -> Exception | None:
        how = node.ended()
        if how == "cannot connect":
            reason = node.last_failure()
            return ConnectionLost(f"{self.app_name} cannot connect as it is set up, and tries no more: {reason}")
        if how != "evicted":
            return None
        return NodeEvicted(f"{self.app_name} was evicted: a newer connection took its name")

    def __enter__(self) -> ClientConnection:
        return self.connect() if self._node is None else ClientConnection(self)


__all__ = ["Application", "Client", "EventsMixin", "Router", "ServerMixin", "ServerMode", "Service"]
