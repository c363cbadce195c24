"""Runs the callbacks of a node on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import sys
import weakref
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from .._calls import Call, _current
from .._daffi_rs import Desk, Job
from .._incoming import bound, is_plain
from .._runner import complain, described
from ..registry._executor_registry import EXECUTOR_REGISTRY, Executor

log = logging.getLogger("daffi_rs")


def _create_task(
    loop: asyncio.AbstractEventLoop, context: contextvars.Context, coroutine: Coroutine[Any, Any, Any]
) -> asyncio.Task[Any]:
    if sys.version_info >= (3, 11):
        return loop.create_task(coroutine, context=context)
    return context.run(loop.create_task, coroutine)


class _Stream:
    __slots__ = ("context", "generator", "outlet", "task")

    def __init__(self, generator: Any, outlet: Any, context: contextvars.Context) -> None:
        self.generator, self.outlet, self.context = generator, outlet, context
        self.task: asyncio.Task[Any] | None = None


class LoopRunner:
    """Callbacks of a node on the loop that runs when this is made: up to `workers` at once, in order of arrival.

    Plain functions run on the loop, too, and hold it up for as long as they take.
    """

    def __init__(self, node: Any, workers: int, policy: Any) -> None:
        self.desk = Desk(bell=True)
        # The node has its runner, and nothing keeps a node that was forgotten.
        self._node = weakref.ref(node)
        self.policy = policy
        self.executors: dict[str, Executor] = {}
        self.workers = workers
        self._loop = asyncio.get_running_loop()
        self._heard_of: deque[Any] = deque()
        self._waiting: deque[Any] = deque()
        self._running = 0
        #: Callbacks that had lent their place, and have what they waited for.
        self._returning: deque[asyncio.Future[None]] = deque()
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._closing: set[asyncio.Task[Any]] = set()
        self._streams: dict[int, _Stream] = {}
        self._context = contextvars.copy_context()
        fd = self.desk.fileno()
        assert fd is not None  # a desk with a bell has one
        self._fd = fd
        self._loop.add_reader(fd, self._heard)

    @property
    def node(self) -> Any:
        """The node whose callbacks run here."""
        return self._node()

    def add(self, name: str, executor: Executor) -> None:
        """Runs a callback, from now on."""
        self.executors[name] = executor

    def is_own_thread(self) -> bool:
        """Whether a callback asks: a stop that it awaits would wait for itself."""
        try:
            return asyncio.current_task() in self._tasks.values()
        except RuntimeError:
            return False

    def close(self) -> None:
        """Takes nothing any more."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self.desk.close()

    def _heard(self) -> None:
        self._heard_of.extend(self.desk.take_all())
        self._do_all()

    def _do_all(self) -> None:
        # Whatever comes of one piece of work, all others that were taken with it are done.
        try:
            while self._heard_of:
                self._do(self._heard_of.popleft())
        finally:
            if self._heard_of and not self._loop.is_closed():
                self._loop.call_soon(self._do_all)

    def _do(self, work: Any) -> None:
        try:
            if type(work) is not Job:
                self._go_on(*work)
            elif self._running < self.workers and not self._waiting and not self._returning:
                self._run(work)
            else:
                self._waiting.append(work)
        except Exception:
            complain(log.error, "a node could not end what it did")
            if type(work) is Job:
                work.fail("RuntimeError", "builtins", "the callback's node could not say how it ended")

    def _next(self) -> None:
        while self._running < self.workers and (self._returning or self._waiting):
            if not self._returning:
                self._run(self._waiting.popleft())
                continue
            place = self._returning.popleft()
            if not place.done():
                self._running += 1
                place.set_result(None)

    @contextlib.asynccontextmanager
    async def lent_by(self, number: int) -> AsyncIterator[None]:
        """While a callback waits for an argument others may run in its place; then it stands in line for that."""
        if self._tasks.get(number) is not asyncio.current_task():
            yield
            return
        self._running -= 1
        self._next()
        place = None
        try:
            yield
            if self._running >= self.workers or self._returning:
                place = self._loop.create_future()
                self._returning.append(place)
                await place
        finally:
            # One that was given its place is counted; one that is cancelled ends without one.
            if place is None or place.cancelled() or not place.done():
                self._running += 1

    def _run(self, job: Any) -> None:
        if job.cancelled:
            job.fail("CancelledError", "asyncio.exceptions", "nobody waited any more")
            return
        try:
            executor = EXECUTOR_REGISTRY.current(job.name, self.executors[job.name])
            called = executor.called()
            args, kwargs = job.arguments(self.policy)
            if not (called.is_plain or is_plain(called)):
                args, kwargs = bound(called.function, args, kwargs, job, self)
            context = self._context.copy()
            context.run(_current.set, Call(job, self.node))
            result = context.run(executor, *args, **kwargs)
            if called.streams:
                self._streams[job.number] = _Stream(result, job.begin(), context)
            elif asyncio.iscoroutine(result):
                task = _create_task(self._loop, context, self._finish(job, result))
                self._tasks[job.number] = task
                self._running += 1
            else:
                job.reply(result)
        except BaseException as error:
            job.fail(*described(error))
            complain(log.debug, "callback %s failed", job.name)
            if isinstance(error, KeyboardInterrupt):
                raise

    async def _finish(self, job: Any, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            job.reply(await coroutine)
        except BaseException as error:
            job.fail(*described(error))
            complain(log.debug, "callback %s failed", job.name)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self._tasks.pop(job.number, None)
            self._running -= 1
            self._next()

    def _go_on(self, kind: str, number: int, _: Any) -> None:
        if kind == "cancelled":
            task = self._tasks.get(number)
            if task is not None:
                task.cancel()
            return
        stream = self._streams.get(number)
        if stream is None:
            return
        if kind == "more":
            stream.task = stream.context.run(self._loop.create_task, self._more(number, stream))
        elif kind == "unwanted":
            del self._streams[number]
            closing = stream.context.run(self._loop.create_task, self._close(stream))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _more(self, number: int, stream: _Stream) -> None:
        generator, outlet = stream.generator, stream.outlet
        try:
            if hasattr(generator, "__anext__"):
                while outlet.push(await generator.__anext__()):
                    pass
            else:
                while outlet.push(next(generator)):
                    await asyncio.sleep(0)
            outlet.pause()
        except (StopIteration, StopAsyncIteration):
            self._streams.pop(number, None)
            outlet.finish()
        except asyncio.CancelledError as error:
            outlet.fail(*described(error))
        except BaseException as error:
            self._streams.pop(number, None)
            outlet.fail(*described(error))
            complain(log.debug, "results of a callback failed")
            if isinstance(error, KeyboardInterrupt):
                raise

    async def _close(self, stream: _Stream) -> None:
        if stream.task is not None and not stream.task.done():
            stream.task.cancel()
            await asyncio.wait([stream.task])
        try:
            if hasattr(stream.generator, "aclose"):
                await stream.generator.aclose()
            else:
                stream.generator.close()
        except Exception:
            complain(log.warning, "a generator failed as it was closed")


class LoopEvents:
    """Tells handlers of members on the event loop."""

    def __init__(self) -> None:
        self.desk = Desk(bell=True)
        self._handlers: dict[str, list[Any]] = {"added": [], "removed": []}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._news: deque[tuple[str, Any, str]] = deque()
        self._goes_on = False

    def add(self, kind: str, handler: Any) -> None:
        """Tells a handler, from now on."""
        self._handlers[kind].append(handler)
        self.desk.watch()

    def begin(self) -> None:
        """Tells them on the loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd(), self._heard)

    def _fd(self) -> int:
        fd = self.desk.fileno()
        assert fd is not None  # a desk with a bell has one
        return fd

    def has_handlers(self) -> bool:
        """Whether anybody is to be told."""
        return any(self._handlers.values())

    def renewed(self) -> LoopEvents:
        """The same handlers, for the next life of the node."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd())
        events = LoopEvents()
        for kind, handlers in self._handlers.items():
            for handler in handlers:
                events.add(kind, handler)
        return events

    def is_own_thread(self) -> bool:
        """Whether a handler asks, which never waits here."""
        return False

    def close(self) -> None:
        """Tells nobody any more."""
        self.desk.close()

    def _heard(self) -> None:
        self._news.extend(self.desk.take_all())
        if not self._goes_on:
            self._tell()

    def _tell(self) -> None:
        self._goes_on = False
        while self._news:
            kind, _, member = self._news.popleft()
            begins = [self._begin(handler, member) for handler in list(self._handlers.get(kind, ()))]
            if any(begins) and self._news:
                # Handlers begin in the order of the news: those of the next behind these tasks.
                self._goes_on = True
                asyncio.get_running_loop().call_soon(self._tell)
                return

    def _begin(self, handler: Any, member: str) -> bool:
        """Whether it begins on the loop, and not at once."""
        try:
            result = handler(member)
            if not asyncio.iscoroutine(result):
                return False
            task = asyncio.get_running_loop().create_task(result)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        except Exception:
            complain(log.error, "a handler of members failed")
            return False
        return True
