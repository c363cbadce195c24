"""The nodes for asyncio: their callbacks run on the loop that they are started on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from collections.abc import Iterator
from typing import Any

from .. import _daffi_rs, _keeping, _log, app
from .._options import Options, check_workers
from .._refusals import check_members, not_listening
from .._signals import stopping
from ..app import ServerMode
from ..exceptions import InitializationError
from ..registry._executor_registry import EXECUTOR_REGISTRY
from ._rpc_proxy import AsyncClientConnection
from ._runner import LoopEvents, LoopRunner
from ._port import port_of_loop
from ._signals import heard

#: A client looks so often whether it ended by itself, while somebody waits for its end.
_LOOK = 0.5


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _stop(ended: Any) -> None:
    with stopping():
        await ended


class AsyncApplication:
    """What nodes for asyncio have in common, beside what all have."""

    _stopped: asyncio.Event | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _stopped_on: asyncio.AbstractEventLoop | None = None
    _begins = False
    #: Stops the node, whether or not somebody waits for that.
    _ending: asyncio.Task[None] | None = None

    @property
    def _stop_event(self) -> asyncio.Event:
        """Set once the node is stopped. It is made where it is first asked for, since that may be before any loop."""
        if self._stopped is None:
            self._stopped, self._stopped_on = asyncio.Event(), _running_loop()
        return self._stopped

    @_stop_event.setter
    def _stop_event(self, _: Any) -> None:
        # Nodes that are not for asyncio have one of threads.
        pass

    def _kept_by(self) -> Any:
        # A loop that is forgotten takes its nodes along.
        loop: Any = self._loop
        try:
            return loop.__dict__.setdefault("_daffi_rs_nodes", set())
        except AttributeError:
            return _keeping.RUNNING

    def _new_events(self) -> Any:
        return LoopEvents()

    def _stop_at_exit(self) -> None:
        # Its loop is over by then, and 3.0.1 does nothing either.
        pass

    def _serves_by_threads(self) -> bool:
        return False

    def _new_runner(self: Any) -> Any:
        return LoopRunner(self, self.workers, self._policy)

    @contextlib.contextmanager
    def _beginning(self: Any, refusal: str) -> Iterator[None]:
        """The node begins on this loop; a second time it does not, however long the first takes."""
        if self._node is not None or self._begins:
            raise RuntimeError(refusal)
        self._begins = True
        try:
            self._loop = loop = asyncio.get_running_loop()
            if self._stopped_on is not loop:
                # One that was made on another loop can be awaited there alone.
                self._stopped, self._stopped_on = asyncio.Event(), loop
            _keeping.make_way(self)
            yield
        finally:
            self._begins = False

    async def _at_rest(self: Any) -> None:
        """A node that stops still begins again once it has."""
        ending = self._ending
        if ending is not None and ending.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([ending])

    async def stop(self: Any, *_: Any, **__: Any) -> None:
        """Stops in order: what was received before runs, up to `grace` seconds (10), and is answered.

        In a callback it only begins to stop. A second `stop` waits for the first, which goes on when it is cancelled.
        """
        self._check_here()
        runner = self._runner
        own = runner is not None and runner.is_own_thread()
        with stopping():
            node = self._end()
            if node is None:
                if self._stopping is not None and not own:
                    await self._stop_event.wait()
                self._ended()
                return
            ending = None
            try:
                if own:
                    node.stop_soon()
                else:
                    port = port_of_loop()
                    ended = port.wait(node.stop_later(port.desk))
                    ending = self._ending = asyncio.get_running_loop().create_task(_stop(ended))
            finally:
                if ending is None:
                    self._let_go(runner)
            if ending is not None:
                # A task that is cancelled before it begins runs nothing of its own.
                ending.add_done_callback(lambda _: self._let_go(runner))
                await asyncio.shield(ending)

    def _let_go(self: Any, runner: Any) -> None:
        """Of what the node had on the loop, once it has ended or nobody waits for that."""
        if runner is not None:
            runner.close()
        try:
            events, self._events = self._events, self._events.renewed()
            events.close()
        finally:
            _log.leave(self._told)
            self._ending = None
            self._ended()

    def _stop_by_signal(self: Any) -> None:
        # The loop runs no more, but what the program does to end it.
        if (node := self._end()) is not None:
            node.stop_soon()
            _log.leave(self._told)
            self._ended()

    def _is_stranded(self) -> bool:
        return self._loop is not None and self._loop.is_closed()

    def _abandon(self: Any, why: str) -> None:
        abandon = functools.partial(app.Application._abandon, self, why)
        loop = self._loop
        if loop.is_closed() or _running_loop() is loop:
            abandon()
        else:
            self._node.stop_soon()
            loop.call_soon_threadsafe(abandon)

    async def join(self: Any) -> None:
        """Waits until the node is stopped, by `stop`, SIGINT or SIGTERM, which stop it in order.

        One that was not started yet is waited for, too. In compat mode it raises `SystemExit(0)` after SIGTERM.
        """
        ending = None
        self._joining = True
        try:
            with heard() as signals:
                waits = [asyncio.ensure_future(event.wait()) for event in (signals.once, self._stop_event)]
                ending = asyncio.ensure_future(self._end_of())
                try:
                    await asyncio.wait([*waits, ending], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in (*waits, ending):
                        wait.cancel()
        finally:
            self._joining = False
        error = ending.result() if ending.done() and not ending.cancelled() else self._connection_error
        if self._node is not None:
            await self.stop()
        if self._compat and signal.SIGTERM in signals.numbers:
            raise SystemExit(0)
        if error is not None:
            self._tell_end(error)

    async def _end_of(self) -> Exception | None:
        """Why the node ended that nobody stopped, once it has."""
        await asyncio.Event().wait()
        return None

    async def __aexit__(self: Any, *_: object) -> None:
        # A child that was forked in the block leaves what it inherited to its parent.
        if self._node is None or self._is_here():
            await self.stop()

    def __enter__(self) -> Any:
        raise TypeError(f"{type(self).__name__} is entered by 'async with'")


class AsyncServerMixin(AsyncApplication):
    async def start(self: Any) -> None:
        """Listens, and returns once it does. With port 0 `port` is the real one then."""
        await self._at_rest()
        with self._beginning(f"{type(self).__name__} is already started"):
            serves = self.server_mode is ServerMode.SERVICE
            if serves:
                check_workers(self.workers)
            options, port = Options(self), port_of_loop()
            if serves:
                runner, names = self._expose()
                try:
                    node = await port.wait(
                        _daffi_rs.serve_later(port.desk, options, names, runner.desk, self._listening())
                    )
                except BaseException as error:
                    runner.close()
                    if isinstance(error, InitializationError):
                        raise not_listening(error) from None
                    raise
                EXECUTOR_REGISTRY.subscribers.append(self._told)
            else:
                try:
                    node = await port.wait(_daffi_rs.serve_router_later(port.desk, options, self._listening()))
                except InitializationError as error:
                    raise not_listening(error) from None
            self._begun(node)
            self._note_port(node.endpoints()[0])

    async def __aenter__(self: Any) -> Any:
        if self._node is None:
            await self.start()
        return self


class AsyncService(AsyncServerMixin, app.Service):  # type: ignore[misc]
    """A `Service` whose callbacks run on the loop that it is started on."""


class AsyncRouter(AsyncServerMixin, app.Router):  # type: ignore[misc]
    """A `Router` that is started and stopped on an event loop."""


class AsyncClient(AsyncApplication, app.Client):  # type: ignore[misc]
    """A `Client` whose calls are awaited, and whose callbacks run on the loop that it connects on."""

    async def connect(self) -> AsyncClientConnection:  # type: ignore[override]
        """Connects, and gives what calls are made through."""
        await self._at_rest()
        with self._beginning("Client is already connected"):
            check_workers(self.workers)
            options = Options(self)
            runner, names = self._expose()
            try:
                with self._connecting(options):
                    port = port_of_loop()
                    node = await port.wait(
                        _daffi_rs.connect_later(port.desk, options, names, runner.desk, self._listening())
                    )
            except BaseException:
                runner.close()
                raise
            EXECUTOR_REGISTRY.subscribers.append(self._told)
            self._known_streams = {}
            self._begun(node)
            return AsyncClientConnection(self)

    async def _wait_for_members_there(self, members: tuple[str, ...], timeout: float | None) -> None:
        check_members(members, timeout)
        port = port_of_loop()
        try:
            await port.wait(self._connected().wait_for_members_later(port.desk, list(members), timeout))
        except TimeoutError:
            raise self._missing(members, timeout) from None

    async def _end_of(self) -> Exception | None:
        looks = 0
        while True:
            await asyncio.sleep(_LOOK)
            node = self._node
            if node is None:
                continue
            if node.ended() is not None:
                return self._ended_by_itself(node)
            looks = looks + 1 if self._compat and self._is_lost() else 0
            if looks * _LOOK > app._LOST_AFTER:
                return self._gone()

    async def __aenter__(self) -> AsyncClientConnection:
        return await self.connect() if self._node is None else AsyncClientConnection(self)


Client, Router, Service = AsyncClient, AsyncRouter, AsyncService

__all__ = ["AsyncClient", "AsyncRouter", "AsyncService", "Client", "Router", "Service"]
