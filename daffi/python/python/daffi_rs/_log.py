"""The log of the engine, as lines of the logger `daffi_rs.engine`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from typing import Any

from ._compat import is_compat
from ._daffi_rs import Desk, log_to

log = logging.getLogger("daffi_rs.engine")

_desk: Desk | None = None
_process = 0
_thread: threading.Thread | None = None
_lock = threading.RLock()
#: Of each node that runs, and whose lines are told.
_users: set[Any] = set()

#: So long, in seconds, a line that is on its way is waited for as the last node ends.
_LAST_LINES = 0.5
#: What 3.0.1 never says, as lines begin.
_UNHEARD = ("a nowait call failed", "no connection yet; trying on")


def begin(user: Any) -> None:
    """Has the engine log to `logging`, while there are users, from the level on that is in effect now."""
    global _desk, _process, _thread
    with _lock:
        if _process == os.getpid():
            _users.add(user)
            return
        # The desk of a parent is one that a thread of the parent waits at.
        desk = Desk()
        desk.watch()
        thread = threading.Thread(target=_work, args=(desk,), name="daffi-log", daemon=True)
        try:
            try:
                thread.start()
            except RuntimeError as error:
                # The node runs all the same, and the next one tries again.
                log.warning("no thread can be started for the log of the engine, which is not shown: %s", error)
                return
            takes = log_to(desk, min(log.getEffectiveLevel(), 255))
        except BaseException:
            # The thread would wait at it for ever.
            desk.close()
            raise
        _process = os.getpid()
        _users.add(user)
        if takes:
            _desk, _thread = desk, thread
        else:
            _desk = None
            desk.close()


def after_fork() -> None:
    """In a child no other thread holds the lock, whatever one of the parent's did."""
    global _lock
    _lock = threading.RLock()
    _users.clear()


def leave(user: Any) -> None:
    """A node has ended in order. With the last one the log ends, and its thread."""
    global _desk, _process, _thread
    with _lock:
        if user not in _users:
            return
        _users.discard(user)
        if _users or _desk is None or _process != os.getpid() or _thread is threading.current_thread():
            return
        desk, thread = _desk, _thread
        _desk, _thread, _process = None, None, 0
    until = time.monotonic() + _LAST_LINES
    while not desk.is_idle() and time.monotonic() < until:
        time.sleep(0.001)
    desk.close()
    if thread is not None:
        thread.join(_LAST_LINES)


def end() -> None:
    """Logs no more, as the interpreter ends."""
    if _desk is not None and _process == os.getpid():
        _desk.close()
        # What is there is told before the interpreter ends.
        if _thread is not None:
            _thread.join(1)


def _work(desk: Desk) -> None:
    while (work := desk.take()) is not None:
        _, level, text = work
        if is_compat() and text.startswith(_UNHEARD) and not log.hasHandlers():
            continue
        # Handlers are the user's: one that fails takes no later line along.
        try:
            log.log(level, "%s", text)
        except BaseException as failed:
            with contextlib.suppress(BaseException):
                sys.excepthook(type(failed), failed, failed.__traceback__)
