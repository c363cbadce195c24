"""Sends what an iterable gives, plain or async, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from .._daffi_rs import Feed

#: Sources that are closed by themselves, their calls having ended.
_closing: set[asyncio.Task[None]] = set()

#: A call that has ended waits so many seconds for its source to be closed, and no longer for one that does not end.
_PATIENCE = 1.0


async def _each(items: Any) -> AsyncIterator[Any]:
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def feed_all(port: Any, feed: Feed, items: Any, begun: Any) -> Any:
    """Sends all of them to the call that was begun, and gives what came of it.

    The call ends when it has ended, whether or not its source gives anything then; and with what the source raises.
    """
    call = asyncio.ensure_future(port.wait(begun))
    feeding = asyncio.get_running_loop().create_task(_feed(port, feed, items))
    try:
        await asyncio.wait([call, feeding], return_when=asyncio.FIRST_COMPLETED)
        if feeding.done():
            feeding.result()
            feed.finish()
        return await call
    except BaseException:
        call.cancel()
        if call.done() and not call.cancelled():
            call.exception()  # it is known
        # A task that is cancelled before it begins does not do it.
        port.give_up(begun)
        raise
    finally:
        await end(feeding)


async def end(feeding: asyncio.Task[None]) -> None:
    """Has nothing more sent, and the source closed."""
    if not feeding.done():
        stop(feeding)
        await asyncio.wait([feeding], timeout=_PATIENCE)


def stop(feeding: asyncio.Task[None]) -> None:
    """Has nothing more sent and the source closed, and does not wait for it."""
    if not feeding.done():
        _closing.add(feeding)
        feeding.add_done_callback(_closed)
        feeding.cancel()


def _closed(feeding: asyncio.Task[None]) -> None:
    _closing.discard(feeding)
    if not feeding.cancelled() and feeding.exception() is not None:
        feeding.get_loop().call_exception_handler(
            {"message": "a source failed as it was closed", "exception": feeding.exception(), "task": feeding}
        )


def feed_beside(port: Any, feed: Feed, items: Any) -> asyncio.Task[None]:
    """Sends them on a task of its own; what they raise is raised where the results are read."""
    return asyncio.get_running_loop().create_task(_feed_beside(port, feed, items))


async def _feed_beside(port: Any, feed: Feed, items: Any) -> None:
    try:
        await _feed(port, feed, items)
    except Exception as error:
        feed.fail(error)
    finally:
        feed.finish()


async def _feed(port: Any, feed: Feed, items: Any) -> None:
    source = _each(items)
    try:
        async for item in source:
            if not await port.wait(feed.put(port.desk, item)):
                break
    finally:
        await source.aclose()  # type: ignore[attr-defined]
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
