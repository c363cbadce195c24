"""Runs the callbacks of a node on threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import sys
import threading
import types
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from ._calls import Call, _current
from ._daffi_rs import Desk, Job
from ._incoming import bound, is_plain
from .exceptions import Overloaded
from .registry._executor_registry import EXECUTOR_REGISTRY, Executor

log = logging.getLogger("daffi_rs")

_local = threading.local()

#: So many callbacks that wait for arguments have another thread run in their place.
_MAX_LENT = 256


def _words(say: Callable[[], Any]) -> str:
    try:
        # What cannot travel, half of a surrogate pair, is a question mark.
        return str(say()).encode("utf-8", "replace").decode()
    except BaseException as error:
        return f"<what it says cannot be read: {type(error).__name__}>"


def described(error: BaseException) -> tuple[str, str, str]:
    """Class, module and words of an error, as it travels. It never fails, whatever class of a user's this is."""
    made = type(error)
    return _words(lambda: made.__name__), _words(lambda: made.__module__), _words(lambda: error)


def complain(say: Callable[..., Any], text: str, *more: Any) -> None:
    """Logs with the error at hand. Handlers of a log are the user's, and may fail where nobody could be told."""
    try:
        say(text, *more, exc_info=True)
    except BaseException as failed:
        with contextlib.suppress(BaseException):
            sys.excepthook(type(failed), failed, failed.__traceback__)


def end(threads: list[threading.Thread]) -> None:
    """Waits a moment for threads whose desk is closed."""
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
    """The results of a call, as its generator gives them.

    One thread at a time has the generator. What is wished of it meanwhile that thread does, too, when it is done with
    the wish before: nobody waits for it, since who waits here would hold a worker that the generator may wait for.
    """

    __slots__ = ("_busy", "_ends", "_lock", "_more", "context", "generator", "outlet")

    def __init__(self, generator: Any, outlet: Any, context: contextvars.Context) -> None:
        self.generator, self.outlet, self.context = generator, outlet, context
        self._lock = threading.Lock()
        self._busy = self._more = self._ends = False

    def claim(self, kind: str) -> bool:
        """Notes what is wished. `True`: who asks has the generator now, and does what `next` gives."""
        with self._lock:
            if kind == "more":
                self._more = True
            else:
                self._ends = True
            claimed, self._busy = not self._busy, True
            return claimed

    def next(self) -> str | None:
        """What is to be done next; `None`: the generator has been let go. Once it is closed it is let go no more."""
        with self._lock:
            if self._ends:
                self._ends = self._more = False
                return "unwanted"
            if self._more:
                self._more = False
                return "more"
            self._busy = False
            return None


class Runner:
    """Worker threads of a node, which are there once it exposes a callback."""

    def __init__(self, node: Any, workers: int, policy: Any) -> None:
        self.desk = Desk(workers=workers)
        # The node has its runner, and nothing keeps a node that was forgotten.
        self._node = weakref.ref(node)
        self.policy = policy
        self.executors: dict[str, Executor] = {}
        self.workers = workers
        self._threads: list[threading.Thread] = []
        self._streams: dict[int, _Stream] = {}
        #: How many callbacks of which caller wait for arguments.
        self._lent: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._context = contextvars.copy_context()

    @property
    def node(self) -> Any:
        """The node whose callbacks run here."""
        return self._node()

    def add(self, name: str, executor: Executor) -> None:
        """Runs a callback, from now on."""
        self.executors[name] = executor
        with self._lock:
            # Threads that could not be started before are started with the next callback.
            for _ in range(self.workers - len(self._threads)):
                self._begin_thread()

    def _begin_thread(self) -> None:
        one = self.workers == 1 and not self._threads
        name = "daffi-worker" if one else f"daffi-worker-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        # A callback on it may ask at once whose thread it is.
        self._threads.append(thread)
        try:
            thread.start()
        except BaseException:
            self._threads.remove(thread)
            raise

    def is_own_thread(self) -> bool:
        """Whether a callback asks."""
        return threading.current_thread() in self._threads

    @contextlib.contextmanager
    def lent(self, caller: str) -> Iterator[None]:
        """While a callback waits for an argument others may run in its place; then it stands in line for that.

        Nobody waits with a worker held: where too many wait the callback fails. A caller may have as many waiting as
        there are places left, so that no few of them take all places.
        """
        if threading.current_thread() not in self._threads:
            yield
            return
        with self._lock:
            all_lent, own = sum(self._lent.values()), self._lent[caller]
            if own >= _MAX_LENT - all_lent:
                raise Overloaded(
                    f"{all_lent} callbacks of this node wait for arguments, {own} of them for those of {caller}: at most "
                    f"{_MAX_LENT} may wait, and of one caller as many as there are places left. Call again later"
                )
            if len(self._threads) <= self.workers + all_lent:
                try:
                    self._begin_thread()
                except RuntimeError as error:
                    raise Overloaded(
                        f"no thread can be started in the place of one whose callback waits for an argument ({error}): "
                        "the limit of this process or user on threads is reached. Call again later"
                    ) from error
            self._lent[caller] += 1
        self.desk.lend()
        try:
            yield
        finally:
            self.desk.reclaim()
            with self._lock:
                self._lent[caller] -= 1
                if not self._lent[caller]:
                    del self._lent[caller]

    def close(self) -> None:
        """Ends the threads, as far as no callback runs on them."""
        self.desk.close()
        end(self._threads)

    def _work(self) -> None:
        take, run = self.desk.take, self._run
        held = False
        while True:
            work = take(held)
            held = True
            if work is None:
                return
            # Whatever comes of one piece of work, the thread goes on with the next.
            try:
                if type(work) is Job:
                    run(work)
                else:
                    self._go_on(*work)
            except BaseException:
                complain(log.error, "a worker could not end what it did")
                if type(work) is Job:
                    work.fail("RuntimeError", "builtins", "the callback's node could not say how it ended")
            del work

    def _run(self, job: Any) -> None:
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
                self._begin(job, result, context)
                return
            if called.is_async or type(result) is types.CoroutineType:
                result = context.run(_wait, result)
            job.reply(result)
        except BaseException as error:  # all of them are the caller's, as in 3.0.1
            job.fail(*described(error))
            complain(log.debug, "callback %s failed", job.name)

    def _begin(self, job: Any, generator: Any, context: contextvars.Context) -> None:
        # More may be asked for at once, by another thread.
        with self._lock:
            self._streams[job.number] = _Stream(generator, job.begin(), context)

    def _go_on(self, kind: str, number: int, _: Any) -> None:
        with self._lock:
            stream = self._streams.get(number) if kind == "more" else self._streams.pop(number, None)
        if stream is None or not stream.claim(kind):
            return
        while (wished := stream.next()) is not None:
            if wished == "more":
                self._more(number, stream)
            else:
                self._close(stream)
                return

    def _close(self, stream: _Stream) -> None:
        close: Callable[[], Any] = getattr(stream.generator, "aclose", None) or stream.generator.close
        try:
            closed = stream.context.run(close)
            if asyncio.iscoroutine(closed) or hasattr(closed, "__await__"):
                stream.context.run(_wait, _awaited(closed))
        except BaseException:
            complain(log.warning, "a generator failed as it was closed")

    def _more(self, number: int, stream: _Stream) -> None:
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
            outlet.fail(*described(error))
            complain(log.debug, "results of a callback failed")
        with self._lock:
            self._streams.pop(number, None)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


class EventThread:
    """Tells handlers of members that come and go, on a thread that is there while a node runs and has a handler."""

    def __init__(self) -> None:
        self.desk = Desk()
        self._handlers: dict[str, list[Callable[[str], Any]]] = {"added": [], "removed": []}
        self._thread: threading.Thread | None = None
        self._begun = False
        self._lock = threading.RLock()

    def add(self, kind: str, handler: Callable[[str], Any]) -> None:
        """Tells a handler, from now on."""
        self._handlers[kind].append(handler)
        self.desk.watch()
        if self._begun:
            self.begin()

    def begin(self) -> None:
        """The node runs: what it tells is heard from now on, if there is a handler."""
        with self._lock:
            self._begun = True
            if self._thread is not None or not self.has_handlers():
                return
            thread = threading.Thread(target=self._work, name="daffi-events", daemon=True)
            thread.start()
            self._thread = thread

    def close(self) -> None:
        """Tells nobody any more."""
        with self._lock:
            self._begun = False
            thread = self._thread
        self.desk.close()
        if thread is not None:
            end([thread])

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
                    complain(log.error, "a handler of members failed")
