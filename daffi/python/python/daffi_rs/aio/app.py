"""The nodes for asyncio: their callbacks run on the loop that they are started on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from .. import _daffi_rs, app
from ..app import ServerMode
from ..registry._executor_registry import EXECUTOR_REGISTRY
from ._rpc_proxy import AsyncClientConnection
from ._runner import LoopEvents, LoopRunner
from ._port import port_of_loop


async def _in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


@contextlib.asynccontextmanager
async def _signals() -> AsyncIterator[asyncio.Event]:
    """SIGINT and SIGTERM set the event, on the main thread."""
    loop, heard, handled = asyncio.get_running_loop(), asyncio.Event(), []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.add_signal_handler(number, heard.set)
                handled.append(number)
    try:
        yield heard
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


class AsyncApplication:
    """What nodes for asyncio have in common, beside what all have."""

    _stopped: asyncio.Event | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    def _kept_by(self) -> Any:
        # A loop that is forgotten takes its nodes along.
        loop: Any = self._loop
        try:
            return loop.__dict__.setdefault("_daffi_rs_nodes", set())
        except AttributeError:
            return app._RUNNING

    def _new_events(self) -> Any:
        return LoopEvents()

    def _new_runner(self: Any) -> Any:
        return LoopRunner(self, self.workers, self._policy)

    async def stop(self: Any, *_: Any, **__: Any) -> None:
        """Stops in order: what was received before runs, up to `grace` seconds (10), and is answered.

        In a callback it only begins to stop.
        """
        node = self._end()
        if node is None:
            return
        runner = self._runner
        try:
            if runner is not None and runner.is_own_thread():
                node.stop_soon()
            else:
                await _in_thread(node.stop)
        finally:
            if runner is not None:
                runner.close()
            events, self._events = self._events, self._events.renewed()
            events.desk.close()
            self._stop_event.set()
            if self._stopped is not None:
                self._stopped.set()

    async def join(self: Any) -> None:
        """Waits until the node is stopped, by `stop`, SIGINT or SIGTERM, which stop it in order."""
        node = self._node
        if node is None:
            return
        async with _signals() as heard:
            waits = [asyncio.ensure_future(event.wait()) for event in (heard, self._stopped)]
            waits.append(asyncio.ensure_future(self._end_of(node)))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        if self._node is not None:
            await self.stop()

    async def _end_of(self, node: Any) -> None:
        await asyncio.Event().wait()

    async def __aexit__(self: Any, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Any:
        raise TypeError(f"{type(self).__name__} is entered by 'async with'")


class AsyncServerMixin(AsyncApplication):
    async def start(self: Any) -> None:
        """Listens, and returns once it does. With port 0 `port` is the real one then."""
        if self._node is not None:
            raise RuntimeError(f"{type(self).__name__} is already started")
        self._stopped, self._loop = asyncio.Event(), asyncio.get_running_loop()
        options = app.Options(self)
        if self.server_mode is ServerMode.SERVICE:
            runner, names = self._expose()
            try:
                node = await _in_thread(_daffi_rs.serve, options, names, runner.desk, self._listening())
            except BaseException:
                runner.close()
                raise
            EXECUTOR_REGISTRY.subscribers.append(self._added)
        else:
            node = await _in_thread(_daffi_rs.serve_router, options, self._listening())
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
        if self._node is not None:
            raise RuntimeError("Client is already connected")
        self._stopped, self._loop = asyncio.Event(), asyncio.get_running_loop()
        options = app.Options(self)
        runner, names = self._expose()
        try:
            node = await _in_thread(self._connect_with, options, names, runner)
        except BaseException:
            runner.close()
            raise
        EXECUTOR_REGISTRY.subscribers.append(self._added)
        self._known_streams = {}
        self._begun(node)
        return AsyncClientConnection(self)

    async def _wait_for_members_there(self, members: tuple[str, ...], timeout: float | None) -> None:
        port = port_of_loop()
        try:
            await port.wait(self._connected().wait_for_members_later(port.desk, list(members), timeout))
        except TimeoutError:
            raise self._missing(members, timeout) from None

    async def _end_of(self, node: Any) -> None:
        while node.ended() is None:
            await asyncio.sleep(1)
        self._ended_by_itself(node)

    async def __aenter__(self) -> AsyncClientConnection:
        return await self.connect() if self._node is None else AsyncClientConnection(self)


__all__ = ["AsyncClient", "AsyncRouter", "AsyncService"]
