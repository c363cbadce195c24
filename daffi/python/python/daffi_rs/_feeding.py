"""Sends what an iterable gives, on a thread of its own, beside results that are read meanwhile."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Any

from ._daffi_rs import Feed

_feeders: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def feed_from(feed: Feed, items: Iterable[Any]) -> None:
    """Feeds a call, which has begun, all that `items` gives; what it raises is raised where the results are read."""
    thread = threading.Thread(target=_work, args=(feed, items), name="daffi-items", daemon=True)
    _feeders.add(thread)
    thread.start()


def _work(feed: Feed, items: Iterable[Any]) -> None:
    try:
        source = iter(items)
        for item in source:
            if not feed.put_here(item):
                close = getattr(source, "close", None)
                if close is not None:
                    close()
                return
    except BaseException as error:
        feed.fail(error)
    else:
        feed.finish()


def end() -> None:
    """Waits a moment for the threads, once the engine has ended: they let go of what they feed from."""
    for thread in list(_feeders):
        if thread is not threading.current_thread():
            thread.join(0.5)
