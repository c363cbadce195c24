"""The nodes: Service, Router and Client."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, ClassVar, TypeVar, Union

from . import _daffi_rs, _log
from ._compat import is_compat
from ._plain import TRUSTED
from ._rpc_proxy import _MAX_PROBES, ClientConnection
from ._runner import EventThread, Runner
from .exceptions import ConnectionLost, InitializationError
from .registry._executor_registry import EXECUTOR_REGISTRY, Executor

H = TypeVar("H", bound=Callable[[str], Any])
Path = Union[str, "os.PathLike[str]"]
log = logging.getLogger("daffi_rs")


#: The nodes that run.
_RUNNING: set[Application] = set()


class ServerMode(IntEnum):
    """What a node that listens does with calls: forward or serve them."""

    ROUTER = 0
    SERVICE = 1


class Tls:
    """Files of certificates, as the engine takes them."""

    __slots__ = ("ca_file", "cert_file", "key_file", "pinned", "unverified")

    def __init__(self, cert_file: str, key_file: str, ca_file: str) -> None:
        self.cert_file, self.key_file, self.ca_file = cert_file or None, key_file or None, ca_file or None
        self.pinned = False
        self.unverified = is_compat()


class Options:
    """The settings of a node, as the engine takes them."""

    __slots__ = ("budget", "endpoints", "grace", "max_body", "max_connections", "name", "tls", "token", "workers")

    def __init__(self, node: Application) -> None:
        self.name, self.workers, self.tls = node.app_name, node.workers, node._tls()
        self.endpoints = node._endpoints()
        _check_tls(node, self.endpoints)
        self.grace, self.max_body = node._grace, node._max_body
        self.max_connections, self.budget, self.token = node._max_connections, node._budget, node._token


def _check_tls(node: Application, endpoints: list[str]) -> None:
    """Refuses certificates that would protect nothing, and endpoints that `tls` does not reach."""
    plain = [endpoint for endpoint in endpoints if endpoint.partition("://")[0] not in ("tls", "wss")]
    given = [name for name in ("cert_file", "key_file", "ca_file") if getattr(node, name)]
    why = None
    if node.tls and plain:
        why = f"tls=True is given, and {plain[0]} has no TLS: name it tls://, or leave tls out"
    elif given and len(plain) == len(endpoints):
        why = f"{given[0]} is given, and no endpoint has TLS: give tls=True, or addresses with tls://"
    elif bool(node.cert_file) != bool(node.key_file):
        one, other = ("cert_file", "key_file") if node.cert_file else ("key_file", "cert_file")
        why = f"{one} is given without {other}: a certificate is shown with its key"
    if why is None:
        return
    if not is_compat():
        raise InitializationError(why)
    # 3.0.1 takes it all, and what means nothing there means nothing.
    log.warning("%s: in compat mode it has no effect", why)


def _tcp(host: str, port: int | None, tls: bool) -> str:
    if host.startswith(("/", "./")):
        return f"unix://{os.path.abspath(host)}"
    if port is None:
        raise InitializationError(f"host is {host!r} and there is no port: give one, 0 for any that is free")
    return f"{'tls' if tls else 'tcp'}://{f'[{host}]' if ':' in host else host}:{port}"


class EventsMixin:
    """Tells handlers of nodes that come and go."""

    _events: Any
    _node: Any

    def on_member_added(self, handler: H) -> H:
        """Has a handler told the name of every node that joins from now on. It can be used as a decorator."""
        self._tell("added", handler)
        return handler

    def on_member_removed(self, handler: H) -> H:
        """Has a handler told the name of every node that leaves from now on. It can be used as a decorator."""
        self._tell("removed", handler)
        return handler

    def _tell(self, kind: str, handler: Callable[[str], Any]) -> None:
        # Listening costs memory, so it begins with the first handler.
        if self._node is not None and not self._events.has_handlers():
            self._node.watch(self._events.desk)
        self._events.add(kind, handler)


class Application(EventsMixin):
    """What nodes have in common. `app_name` must be unique in a network; one is made up when it is left out."""

    server_mode: ClassVar[ServerMode | None] = None
    #: Options of other nodes.
    _meaningless: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        app_name: str | None = None,
        host: str | None = None,
        port: int | None = None,
        unix_sock_path: Path | None = None,
        workers: int = 1,
        tls: bool = False,
        cert_file: str = "",
        key_file: str = "",
        ca_file: str = "",
        *,
        addresses: list[str] | None = None,
        pickle: str | None = None,
        grace: float | None = None,
        max_body: int | None = None,
        max_connections: int | None = None,
        budget: int | None = None,
        token: str | None = None,
    ) -> None:
        if unix_sock_path and (host or port):
            raise InitializationError("unix_sock_path is given beside host or port: give one or the other")
        if addresses is not None and (host or port is not None or unix_sock_path):
            raise InitializationError("addresses are given beside host, port or unix_sock_path: give one or the other")
        if isinstance(addresses, str) or addresses is not None and not addresses:
            raise InitializationError(f"addresses is {addresses!r}: give a list of one endpoint at least")
        for name, value in (("token", token), ("max_connections", max_connections), ("pickle", pickle)):
            if value is not None and name in self._meaningless:
                raise InitializationError(f"{name} has no meaning for a {type(self).__name__}: leave it out")
        if pickle not in (None, "safe", "trusting"):
            raise InitializationError(f"pickle is {pickle!r}: it must be 'safe' or 'trusting'")
        if workers < 1:
            raise InitializationError(f"workers is {workers}: at least 1 callback must be able to run")
        self.app_name = str(app_name or f"{os.uname().nodename[:32]}-0x{secrets.token_hex(8)}")
        self.host, self.port, self.workers = host, port, workers
        self.unix_sock_path = os.fspath(unix_sock_path) if unix_sock_path else ""
        self.tls, self.cert_file, self.key_file, self.ca_file = tls, cert_file, key_file, ca_file
        self._addresses = addresses
        self._token = token
        self._grace, self._max_body, self._max_connections, self._budget = grace, max_body, max_connections, budget
        trusting = pickle == "trusting" or (pickle is None and is_compat())
        self._policy: Any = "trusting" if trusting else TRUSTED
        self._node: Any = None
        self._conn_num: int | None = None
        self._stop_event = threading.Event()
        self._life = threading.RLock()
        self._events = self._new_events()
        self._runner: Runner | None = None

    def _new_events(self) -> Any:
        """Where handlers of members that come and go are called."""
        return EventThread()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.app_name} at {self.info}>"

    @functools.cached_property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """The logger of this node, whose lines go to the handlers of `daffi_rs`."""
        name = f"{type(self).__name__.lower()}[{self.app_name}]"
        return logging.LoggerAdapter(log.getChild(name), {"app": name, "node": self.app_name})

    @property
    def info(self) -> str:
        """Where it listens or connects, in words."""
        if self.unix_sock_path:
            return f"unix socket: [ {'unix://' + self.unix_sock_path!r} ]"
        return f"tcp: [ host {self.host!r}, port: {self.port} ]"

    def _tls(self) -> Tls:
        return Tls(self.cert_file, self.key_file, self.ca_file)

    def _endpoints(self) -> list[str]:
        if self._addresses:
            return list(self._addresses)
        if self.unix_sock_path:
            return [f"unix://{os.path.abspath(self.unix_sock_path)}"]
        if not self.host and self.port is None:
            raise InitializationError("there is no address: give host and port, or unix_sock_path")
        return [_tcp(self.host or "127.0.0.1", self.port, self.tls)]

    def _listening(self) -> Any:
        return self._events.desk if self._events.has_handlers() else None

    def _new_runner(self) -> Any:
        """What runs the callbacks."""
        return Runner(self, self.workers, self._policy)

    def _expose(self) -> tuple[Any, list[tuple[str, bool]]]:
        """A runner of all callbacks of this process, and their names."""
        runner = self._runner = self._new_runner()
        for _, executor in EXECUTOR_REGISTRY:
            for name in EXECUTOR_REGISTRY.exposed(executor):
                runner.add(name, executor)
        return runner, [(name, executor.streams) for name, executor in runner.executors.items()]

    def _added(self, executor: Executor) -> None:
        """A callback was registered while the node runs."""
        runner, node = self._runner, self._node
        if runner is None or node is None:
            return
        for name in EXECUTOR_REGISTRY.exposed(executor):
            known = runner.executors.get(name)
            runner.add(name, executor)
            # One that takes the place of another, as tests do it, is exposed already.
            if known is None or known.streams != executor.streams:
                node.add(name, executor.streams, runner.desk)

    def _begun(self, node: Any) -> None:
        _log.begin()
        self._node = node
        self._conn_num = id(node)
        self._events.begin()
        self._stop_event.clear()
        self._kept_by().add(self)

    def _kept_by(self) -> set[Application]:
        """What keeps this node while it runs, whether or not the program does."""
        return _RUNNING

    def _end(self) -> Any:
        """The node that is to be stopped, once."""
        with self._life:
            node, self._node, self._conn_num = self._node, None, None
            self._kept_by().discard(self)
            while self._added in EXECUTOR_REGISTRY.subscribers:
                EXECUTOR_REGISTRY.subscribers.remove(self._added)
            return node

    def stop(self, *_: Any, **__: Any) -> None:
        """Stops in order: what was received before runs, up to `grace` seconds (10), and is answered.

        In a callback, or in a handler of members, it only begins to stop.
        """
        node = self._end()
        if node is None:
            return
        runner, events = self._runner, self._events
        try:
            if (runner is not None and runner.is_own_thread()) or events.is_own_thread():
                node.stop_soon()
            else:
                node.stop()
        finally:
            if runner is not None:
                runner.close()
            events.close()
            self._events = events.renewed()
            self._stop_event.set()

    def join(self) -> None:
        """Waits until the node is stopped, by `stop`, SIGINT or SIGTERM, which stop it in order."""
        node = self._node
        if node is None:
            return
        with _signals() as ended:
            try:
                ended.waits = True
                if not ended.numbers:
                    node.join()
            except _Signalled:
                pass
            ended.waits = False
        if ended.numbers or self._ended_by_itself(node):
            self.stop()

    def _ended_by_itself(self, node: Any) -> bool:
        return False

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Signalled(BaseException):
    """A signal ended the waiting."""


class _Caught:
    """The signals that came, and whether somebody waits who is to be interrupted by one."""

    __slots__ = ("numbers", "waits")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.waits = False


@contextlib.contextmanager
def _signals() -> Iterator[_Caught]:
    """SIGINT and SIGTERM end the waiting of the main thread, unless the program handles them itself."""
    caught = _Caught()
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def handle(number: int, _: Any) -> None:
        caught.numbers.append(number)
        if caught.waits:
            caught.waits = False
            raise _Signalled

    before = {}
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == default:
            before[number] = signal.signal(number, handle)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ServerMixin(Application):
    """What nodes that listen have in common."""

    def _start(self) -> Any:
        raise NotImplementedError

    def start(self) -> None:
        """Listens, and returns once it does. With port 0 `port` is the real one then."""
        with self._life:
            if self._node is not None:
                raise RuntimeError(f"{type(self).__name__} is already started")
            node = self._start()
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
    `max_connections` (10 000); `budget`: bytes that all peers together can make the node hold (256 MiB).
    """

    server_mode = ServerMode.SERVICE
    _meaningless = ("token",)

    def _start(self) -> Any:
        options = Options(self)
        runner, names = self._expose()
        try:
            node = _daffi_rs.serve(options, names, runner.desk, self._listening())
        except BaseException:
            runner.close()
            raise
        EXECUTOR_REGISTRY.subscribers.append(self._added)
        return node

    def members(self) -> list[str]:
        """The names of the clients that are connected."""
        return list(self._node.members()) if self._node is not None else []


class Router(ServerMixin):
    """Listens, and joins clients that call each other. It exposes nothing itself, and reads no payload."""

    server_mode = ServerMode.ROUTER
    _meaningless = ("token", "pickle")

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
    _meaningless = ("max_connections",)

    @property
    def _conn_type(self) -> str | None:
        """What it is connected to: `"service"` or `"router"`."""
        role: str | None = self._node.server() if self._node is not None else None
        return role

    @property
    def info(self) -> str:
        """Where it connects, and to what."""
        server = self._conn_type
        return f"{super().info[:-2]}, type: {server!r} ]" if server else super().info

    def connect(self) -> ClientConnection:
        """Connects, and gives what calls are made through."""
        self._connect()
        return ClientConnection(self)

    def _connect(self) -> None:
        with self._life:
            if self._node is not None:
                raise RuntimeError("Client is already connected")
            options = Options(self)
            runner, names = self._expose()
            try:
                node = self._connect_with(options, names, runner)
            except BaseException:
                runner.close()
                raise
            EXECUTOR_REGISTRY.subscribers.append(self._added)
            self._known_streams = {}
            self._begun(node)

    def _connect_with(self, options: Options, names: list[tuple[str, bool]], runner: Any) -> Any:
        connect = _daffi_rs.connect
        try:
            return connect(options, names, runner.desk, self._listening())
        except InitializationError as error:
            text = str(error)
            if is_compat() and self.tls and self.ca_file:
                # 3.0.1 looks at no name: exactly the certificate in the file does, whatever it is called.
                options.tls.pinned = True
                with contextlib.suppress(InitializationError):
                    return connect(options, names, runner.desk, self._listening())
            where = " or ".join(options.endpoints)
            raise InitializationError(f"Failed to connect to the server at {where}: {text}") from None

    def _connected(self) -> Any:
        node = self._node
        if node is None:
            raise ConnectionLost(f"client {self.app_name} is not connected: call connect() first")
        return node

    def _wait_for_members(self, members: tuple[str, ...], timeout: float | None) -> None:
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

    def _ended_by_itself(self, node: Any) -> bool:
        if node.ended() == "evicted":
            log.warning("%s was evicted: a newer connection took its name", self.app_name)
            return True
        return False

    def __enter__(self) -> ClientConnection:
        return self.connect() if self._node is None else ClientConnection(self)


__all__ = ["Application", "Client", "EventsMixin", "Router", "ServerMixin", "ServerMode", "Service"]
