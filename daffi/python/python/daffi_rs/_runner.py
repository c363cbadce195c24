"""Runs the callbacks of a node on threads of its own."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from ._calls import Call, _current
from ._daffi_rs import Desk, Job
from ._incoming import bound, is_plain
from .registry._executor_registry import EXECUTOR_REGISTRY, Executor

log = logging.getLogger("daffi_rs")

_local = threading.local()


def described(error: BaseException) -> tuple[str, str, str]:
    """Class, module and words of an error, as it travels."""
    return type(error).__name__, type(error).__module__, str(error)


def end(threads: list[threading.Thread]) -> None:
    """Waits a moment for threads whose desk is closed: none may come back from it while the interpreter ends."""
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(0.5)


def _own_loop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop | None = getattr(_local, "loop", None)
    if loop is None or loop.is_closed():
        loop = _local.loop = asyncio.new_event_loop()
    return loop


def _wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine on the loop of this thread."""
    return _own_loop().run_until_complete(coroutine)


class _Stream:
    """The results of a call, as its generator gives them."""

    __slots__ = ("context", "generator", "lock", "outlet")

    def __init__(self, generator: Any, outlet: Any, context: contextvars.Context) -> None:
        self.generator, self.outlet, self.context = generator, outlet, context
        self.lock = threading.Lock()


class Runner:
    """Worker threads of a node, which are there once it exposes a callback."""

    def __init__(self, node: Any, workers: int, policy: Any) -> None:
        self.desk = Desk()
        self.node = node
        self.policy = policy
        self.executors: dict[str, Executor] = {}
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._streams: dict[int, _Stream] = {}
        self._lock = threading.Lock()
        self._context = contextvars.copy_context()

    def add(self, name: str, executor: Executor) -> None:
        """Runs a callback, from now on."""
        self.executors[name] = executor
        with self._lock:
            if self._threads:
                return
            one = self._workers == 1
            self._threads = [
                threading.Thread(
                    target=self._work, name="daffi-worker" if one else f"daffi-worker-{number}", daemon=True
                )
                for number in range(self._workers)
            ]
        for thread in self._threads:
            thread.start()

    def is_own_thread(self) -> bool:
        """Whether a callback asks."""
        return threading.current_thread() in self._threads

    def close(self) -> None:
        """Ends the threads, as far as no callback runs on them."""
        self.desk.close()
        end(self._threads)

    def _work(self) -> None:
        take, run = self.desk.take, self._run
        while True:
            work = take()
            if type(work) is Job:
                run(work)
            elif work is None:
                return
            else:
                self._go_on(*work)
            del work

    def _run(self, job: Any) -> None:
        try:
            executor = EXECUTOR_REGISTRY.get(job.name) or self.executors[job.name]
            args, kwargs = job.arguments(self.policy)
            if not (executor.is_plain or is_plain(executor)):
                args, kwargs = bound(executor.func, args, kwargs, job, self.policy)
            context = self._context.copy()
            context.run(_current.set, Call(job, self.node))
            result = context.run(executor.func, *args, **kwargs)
            if executor.streams:
                self._begin(job, result, context)
                return
            if executor.is_async:
                result = context.run(_wait, result)
            job.reply(result)
        except BaseException as error:  # all of them are the caller's, as in 3.0.1
            log.debug("callback %s failed", job.name, exc_info=True)
            job.fail(*described(error))

    def _begin(self, job: Any, generator: Any, context: contextvars.Context) -> None:
        # More may be asked for at once, by another thread.
        with self._lock:
            self._streams[job.number] = _Stream(generator, job.begin(), context)

    def _go_on(self, kind: str, number: int, _: Any) -> None:
        with self._lock:
            stream = self._streams.get(number) if kind == "more" else self._streams.pop(number, None)
        if stream is None:
            return
        if kind == "more":
            self._more(number, stream)
        elif kind == "unwanted":
            self._close(stream)

    def _close(self, stream: _Stream) -> None:
        with stream.lock:
            close: Callable[[], Any] = getattr(stream.generator, "aclose", None) or stream.generator.close
            try:
                closed = stream.context.run(close)
                if asyncio.iscoroutine(closed) or hasattr(closed, "__await__"):
                    stream.context.run(_wait, _awaited(closed))
            except BaseException:
                log.warning("a generator failed as it was closed", exc_info=True)

    def _more(self, number: int, stream: _Stream) -> None:
        with stream.lock:
            step: Callable[[], Any]
            if hasattr(stream.generator, "__anext__"):
                def step() -> Any:
                    return _wait(_awaited(stream.generator.__anext__()))
            else:
                step = stream.generator.__next__
            outlet, run = stream.outlet, stream.context.run
            try:
                # Others have their turn when there is room for no more, and between two results.
                while outlet.push(run(step)):
                    if not self.desk.is_idle():
                        break
                outlet.pause()
                return
            except (StopIteration, StopAsyncIteration):
                outlet.finish()
            except BaseException as error:
                log.debug("results of a callback failed", exc_info=True)
                outlet.fail(*described(error))
        with self._lock:
            self._streams.pop(number, None)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


class EventThread:
    """Tells handlers of members that come and go, on a thread that is there once there is a handler."""

    def __init__(self) -> None:
        self.desk = Desk()
        self._handlers: dict[str, list[Callable[[str], Any]]] = {"added": [], "removed": []}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, kind: str, handler: Callable[[str], Any]) -> None:
        """Tells a handler, from now on."""
        self._handlers[kind].append(handler)
        self.desk.watch()
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._work, name="daffi-events", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Tells nobody any more."""
        self.desk.close()
        if self._thread is not None:
            end([self._thread])

    def has_handlers(self) -> bool:
        """Whether anybody is to be told."""
        return any(self._handlers.values())

    def renewed(self) -> EventThread:
        """The same handlers, for the next life of the node."""
        events = EventThread()
        for kind, handlers in self._handlers.items():
            for handler in handlers:
                events.add(kind, handler)
        return events

    def is_own_thread(self) -> bool:
        """Whether a handler asks."""
        return threading.current_thread() is self._thread

    def _work(self) -> None:
        while (work := self.desk.take()) is not None:
            kind, _, member = work
            for handler in list(self._handlers.get(kind, ())):
                try:
                    result = handler(member)
                    if asyncio.iscoroutine(result):
                        _wait(result)
                except BaseException:
                    log.exception("a handler of members failed")
