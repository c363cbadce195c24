"""What Service, Router and Client have in common."""

from __future__ import annotations

import functools
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable
from enum import IntEnum
from typing import Any, ClassVar, TypeVar, Union

from . import _exit, _keeping, _log
from ._compat import is_compat
from ._options import Tls, check_max_values, tcp
from ._plain import TRUSTED
from ._runner import EventThread, Runner, complain
from ._signals import Signalled, caught, end_at_sigterm, end_program, stopping
from .exceptions import ConnectionLost, Disconnected, InitializationError
from .registry._executor_registry import EXECUTOR_REGISTRY, Executor
from .utils import colors
from .utils.logger import DaffiLoggerAdapter, get_daffi_logger

H = TypeVar("H", bound=Callable[[str], Any])
Path = Union[str, "os.PathLike[str]"]
log = logging.getLogger("daffi_rs")


class ServerMode(IntEnum):
    """What a node that listens does with calls: forward or serve them."""

    ROUTER = 0
    SERVICE = 1


def _event(handler: Callable[[dict[str, str]], Any], kind: str, member: str) -> Any:
    return handler({"type": kind, "member": member})


class EventsMixin:
    """Tells handlers of nodes that come and go."""

    _events: Any
    _node: Any

    @property
    def _on_member_added_handlers(self) -> list[Callable[[str], Any]]:
        handlers: list[Callable[[str], Any]] = self._events._handlers["added"]
        return handlers

    @property
    def _on_member_removed_handlers(self) -> list[Callable[[str], Any]]:
        handlers: list[Callable[[str], Any]] = self._events._handlers["removed"]
        return handlers

    def on_member_added(self, handler: H) -> H:
        """Has a handler told the name of every node that joins from now on. It can be used as a decorator."""
        self._tell("added", handler)
        return handler

    def on_member_removed(self, handler: H) -> H:
        """Has a handler told the name of every node that leaves from now on. It can be used as a decorator."""
        self._tell("removed", handler)
        return handler

    def add_event_handler(self, handler: Callable[[dict[str, str]], Any]) -> Any:
        """Has a handler told of nodes that join and leave: `{"type": "connected", "member": "worker"}`, or
        `"disconnected"`."""
        for kind, word in (("added", "connected"), ("removed", "disconnected")):
            self._tell(kind, functools.partial(_event, handler, word))
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
        cert_file: Path = "",
        key_file: Path = "",
        ca_file: Path = "",
        *,
        addresses: list[str] | None = None,
        pickle: str | None = None,
        grace: float | None = None,
        max_body: int | None = None,
        max_connections: int | None = None,
        max_values: int | None = None,
        budget: int | None = None,
        token: str | None = None,
    ) -> None:
        if unix_sock_path and host:
            raise InitializationError(
                "Provide either 'unix_sock_path' or 'host': they mean a Unix socket and TCP, respectively, and both are given. "
                "Several endpoints are given as addresses"
            )
        if addresses is not None and (host or port is not None or unix_sock_path):
            raise InitializationError("addresses are given beside host, port or unix_sock_path: give one or the other")
        if isinstance(addresses, str) or addresses is not None and not addresses:
            raise InitializationError(f"addresses is {addresses!r}: give a list of one endpoint at least")
        own = {"token": token, "max_connections": max_connections, "pickle": pickle, "max_values": max_values}
        for name, value in own.items():
            if value is not None and name in self._meaningless:
                raise InitializationError(f"{name} has no meaning for a {type(self).__name__}: leave it out")
        if pickle not in (None, "safe", "trusting"):
            raise InitializationError(f"pickle is {pickle!r}: it must be 'safe' or 'trusting'")
        self.app_name = str(app_name or f"{os.uname().nodename[:32]}-0x{secrets.token_hex(8)}")
        self.host, self.port, self.workers = host, port, workers
        self.unix_sock_path = os.fspath(unix_sock_path) if unix_sock_path else ""
        self.tls, self.cert_file, self.key_file, self.ca_file = tls, cert_file, key_file, ca_file
        self._addresses = addresses
        self._token = token
        self._grace, self._max_body, self._max_connections, self._budget = grace, max_body, max_connections, budget
        self._compat = is_compat()
        trusting = pickle == "trusting" or (pickle is None and self._compat)
        max_values = check_max_values(max_values)
        self._policy: Any = "trusting" if trusting else TRUSTED if max_values is None else TRUSTED.limited(max_values)
        self._node: Any = None
        #: The process that the node was made in, or runs in: a child that was forked from it has none.
        self._process = os.getpid()
        self._stop_event: Any = threading.Event()
        #: Set once the node runs, or is stopped without having run.
        self._moved = threading.Event()
        #: The thread that stops the node, and when it has.
        self._stopping: tuple[int, threading.Event] | None = None
        self._joining = False
        #: Why it ended by itself.
        self._connection_error: Exception | None = None
        self._life = threading.RLock()
        #: Told of callbacks that are registered while the node runs.
        self._told = _keeping.Told(self)
        #: Ends what was forgotten while it ran.
        self._forgotten: Any = None
        self._events = self._new_events()
        self._runner: Runner | None = None
        _exit.stop_at_exit(self)

    def _new_events(self) -> Any:
        """Where handlers of members that come and go are called."""
        return EventThread()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.app_name} at {self.info}>"

    @functools.cached_property
    def logger(self) -> DaffiLoggerAdapter:
        """A logger of this node for the program, `client[calculator]`, which writes to stdout and stderr."""
        color = {ServerMode.ROUTER: colors.blue, ServerMode.SERVICE: colors.yellow, None: colors.magenta}
        return get_daffi_logger(f"{type(self).__name__.lower()}[{self.app_name}]", color[self.server_mode])

    @property
    def _conn_num(self) -> int | None:
        """A number while it is connected, or listens."""
        node = self._node
        return id(node) if node is not None and self._is_here() and not self._is_lost() else None

    @property
    def _conn_type(self) -> str | None:
        """What it is connected to, if it is a client: `"service"` or `"router"`."""
        return None

    @property
    def _disconnected(self) -> bool:
        return self._is_lost()

    @property
    def _task_dispatcher(self) -> Any:
        """What runs the callbacks."""
        return self._runner

    def _is_here(self) -> bool:
        """Whether the node runs in this process, rather than in one that this was forked from."""
        return self._process == os.getpid()

    def _check_here(self) -> None:
        """Leaves a node alone that was inherited by a fork: what is waited with there is its parent's, too."""
        if self._node is not None and not self._is_here():
            self._node.stop_soon()  # raises, and says why

    def _is_lost(self) -> bool:
        """Whether it is a client whose connection was lost."""
        return False

    def _is_over(self) -> bool:
        """Whether it is a client that ended by itself."""
        return False

    def _is_stranded(self) -> bool:
        """Whether its callbacks can never run again."""
        return False

    def _serves(self) -> bool:
        """Whether calls or events may come to it, whether or not the program has it."""
        return bool(self._runner is not None and self._runner.executors) or bool(self._events.has_handlers())

    @property
    def info(self) -> str:
        """Where it listens or connects, in words."""
        if self.unix_sock_path:
            return f"unix socket: [ {'unix://' + self.unix_sock_path!r} ]"
        return f"tcp: [ host {self.host!r}, port: {self.port} ]"

    def _tls(self) -> Tls:
        return Tls(self.cert_file, self.key_file, self.ca_file, self._compat)

    def _endpoints(self) -> list[str]:
        if self._addresses:
            return list(self._addresses)
        if self.unix_sock_path:
            return [f"unix://{os.path.abspath(self.unix_sock_path)}"]
        if not self.host and self.port is None:
            raise InitializationError("there is no address: give host and port, or unix_sock_path")
        return [tcp(self.host or "127.0.0.1", self.port, self.tls)]

    def _listening(self) -> Any:
        return self._events.desk if self._events.has_handlers() else None

    def _new_runner(self) -> Any:
        """What runs the callbacks."""
        return Runner(self, self.workers, self._policy)

    def _expose(self) -> tuple[Any, list[tuple[str, bool]]]:
        """A runner of all callbacks of this process, and their names."""
        runner = self._runner = self._new_runner()
        try:
            for _, executor in EXECUTOR_REGISTRY:
                for name in EXECUTOR_REGISTRY.exposed(executor):
                    runner.add(name, executor)
        except BaseException:
            # The threads that could be started wait for nothing.
            runner.close()
            raise
        return runner, [(name, executor.streams) for name, executor in runner.executors.items()]

    def _added(self, executor: Executor) -> None:
        """A callback was registered while the node runs."""
        runner, node = self._runner, self._node
        if runner is None or node is None or not self._is_here():
            return
        for name in EXECUTOR_REGISTRY.exposed(executor):
            known = runner.executors.get(name)
            runner.add(name, executor)
            # One that takes the place of another, as tests do it, is exposed already.
            if known is None or known.streams != executor.streams:
                node.add(name, executor.streams, runner.desk)

    def _begun(self, node: Any) -> None:
        try:
            _log.begin(self._told)
            self._events.begin()
        except BaseException:
            node.stop_soon()
            _log.leave(self._told)
            raise
        self._node, self._process, self._connection_error = node, os.getpid(), None
        self._stop_event.clear()
        self._kept_by().add(self)
        desks = [each.desk for each in (self._runner, self._events) if each is not None]
        self._forgotten = _keeping.begun(self, node, desks)
        self._moved.set()
        if self._compat:
            end_at_sigterm(_stop_all)
            if self.workers > 1 and self._serves_by_threads():
                _exit.keeps_alive()

    def _kept_by(self) -> set[Application]:
        """What keeps this node while it runs, whether or not the program does."""
        return _keeping.RUNNING

    def _unsubscribe(self) -> None:
        _keeping.unsubscribe(self._told)

    def _end(self) -> Any:
        """The node that is to be stopped, once."""
        with self._life:
            node, self._node = self._node, None
            self._kept_by().discard(self)
            _keeping.ended(self)
            if self._forgotten is not None:
                self._forgotten.detach()
            self._unsubscribe()
            self._moved.clear()
            if node is not None:
                self._stopping = threading.get_ident(), threading.Event()
            return node

    def _ended(self) -> None:
        self._stop_event.set()
        self._moved.set()
        if self._stopping is not None:
            self._stopping[1].set()

    def stop(self, *_: Any, **__: Any) -> None:
        """Stops in order: what was received before runs, up to `grace` seconds (10), and is answered.

        In a callback, or in a handler of members, it only begins to stop. A second `stop` waits for the first.
        """
        with stopping():
            self._stop()

    def _stop(self) -> None:
        self._check_here()
        runner, events = self._runner, self._events
        own = (runner is not None and runner.is_own_thread()) or events.is_own_thread()
        node = self._end()
        if node is None:
            if self._stopping is None:
                self._ended()
            elif not own and self._stopping[0] != threading.get_ident():
                self._stopping[1].wait()
            return
        try:
            if own:
                node.stop_soon()
            else:
                node.stop()
        finally:
            if runner is not None:
                runner.close()
            events.close()
            self._events = events.renewed()
            _log.leave(self._told, waits=not own)
            self._ended()

    def _stop_by_signal(self) -> None:
        self.stop()

    def _stop_at_exit(self) -> None:
        """The program ends. A `stop` of its own is called, unless the node is stopped; the engine ends all others."""
        own = "stop" in self.__dict__ or getattr(type(self), "stop", None) is not _STOP
        stopped = self._node is None and self._stop_event.is_set()
        if own and not stopped and self._is_here():
            self.stop()

    def _serves_by_threads(self) -> bool:
        """Whether it has callbacks that are run on threads of its own."""
        return self._runner is not None and bool(self._runner.executors)

    def _abandon(self, why: str) -> None:
        """Has the node end by itself, and says why."""
        self._connection_error = ConnectionLost(why)
        runner, events, node = self._runner, self._events, self._end()
        if node is None:
            return
        log.warning("%s", why)
        node.stop_soon()
        if runner is not None:
            runner.close()
        events.close()
        self._events = events.renewed()
        _log.leave(self._told)
        self._ended()

    def join(self) -> None:
        """Waits until the node is stopped, by `stop`, SIGINT or SIGTERM, which stop it in order.

        One that was not started yet is waited for, too. In compat mode it raises `SystemExit(0)` after SIGTERM.
        """
        error = None
        self._joining = True
        with caught() as signals:
            try:
                signals.waits = True
                if not signals.numbers:
                    error = self._wait()
            except Signalled:
                pass
            finally:
                self._joining = False
            signals.waits = False
        if signals.numbers:
            self.stop()
            if self._compat and signal.SIGTERM in signals.numbers:
                end_program()
        elif error is not None:
            self.stop()
            self._tell_end(error)

    def _tell_end(self, error: Exception) -> None:
        self._connection_error = error
        if isinstance(error, Disconnected):
            raise error
        # As in 3.0.1, where the end of a node whose name another took is none of its `join`. The engine warned of it.
        log.info("%s", error)

    def _wait(self) -> Exception | None:
        """Waits until it is stopped, or ended by itself, which it says."""
        while True:
            node = self._node
            if node is not None:
                return self._joined(node)
            if self._stop_event.is_set():
                return self._connection_error
            self._moved.wait()

    def _joined(self, node: Any) -> Exception | None:
        node.join()
        return None

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        # A child that was forked in the block leaves what it inherited to its parent.
        if self._node is None or self._is_here():
            self.stop()


_STOP = Application.stop


def _stop_all() -> None:
    for node in _keeping.alive():
        # One that cannot be stopped leaves none of the others running.
        try:
            node._stop_by_signal()
        except Exception:
            complain(log.error, "a node could not be stopped in order")
