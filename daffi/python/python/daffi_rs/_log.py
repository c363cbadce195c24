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
#: Set for the thread to end once it has told the lines that are there.
_over = threading.Event()
#: One that tells its last lines, and that nobody waited for.
_leaving: threading.Thread | None = None
_lock = threading.RLock()
#: Of each node that runs, and whose lines are told.
_users: set[Any] = set()

#: So long, in seconds, a line that is on its way is waited for as the last node ends.
_LAST_LINES = 0.5
#: What 3.0.1 never says, as lines begin.
_UNHEARD = ("a nowait call failed", "no connection yet; trying on")


def begin(user: Any) -> None:
    """Has the engine log to `logging`, while there are users, from the level on that is in effect now."""
    global _desk, _over, _process, _thread
    with _lock:
        # First this: what ends meanwhile on this thread, as nobody has it any more, is not the last one then.
        _users.add(user)
        if _process == os.getpid():
            return
        # The desk of a parent is one that a thread of the parent waits at.
        desk = Desk()
        desk.watch()
        over = threading.Event()
        thread = threading.Thread(target=_work, args=(desk, over), name="daffi-log", daemon=True)
        try:
            try:
                thread.start()
            except RuntimeError as error:
                # The node runs all the same, and the next one tries again.
                _users.discard(user)
                log.warning("no thread can be started for the log of the engine, which is not shown: %s", error)
                return
            takes = log_to(desk, min(log.getEffectiveLevel(), 255))
        except BaseException:
            # The thread would wait at it for ever.
            desk.close()
            _users.discard(user)
            raise
        _process = os.getpid()
        if takes:
            _desk, _thread, _over = desk, thread, over
        else:
            _desk = None
            desk.close()


def after_fork() -> None:
    """In a child no other thread holds the lock, whatever one of the parent's did."""
    global _leaving, _lock
    _leaving = None
    _lock = threading.RLock()
    _users.clear()


def leave(user: Any, *, waits: bool = False) -> None:
    """A node has ended. With the last one the log ends, and its thread, once that has told the lines that are there.

    `waits`: for that, a moment. Others do not, whom an event loop needs, or whom the log may wait for in turn.
    """
    global _leaving
    _users.discard(user)
    # Whoever has the lock looks again when it has let go of it, so that nobody who finds it taken needs to wait. What
    # nobody has any more ends anywhere, in a thread, too, that the one with the lock waits for.
    while _desk is not None and _process == os.getpid() and _is_unused():
        if not _lock.acquire(blocking=waits):
            return
        try:
            found = _take_away()
        finally:
            _lock.release()
        if found is None:
            continue
        desk, thread, over = found
        if waits and thread is not threading.current_thread():
            until = time.monotonic() + _LAST_LINES
            while not desk.is_idle() and time.monotonic() < until:
                time.sleep(0.001)
            desk.close()
            thread.join(_LAST_LINES)
            return
        _leaving = thread
        # First this: the thread looks at it after each line.
        over.set()
        if desk.is_idle():
            desk.close()
        return


def _is_unused() -> bool:
    """Whether those who are left ended by themselves, as one does whose name another took."""
    return all(user.is_over() for user in list(_users))


def _take_away() -> tuple[Desk, threading.Thread, threading.Event] | None:
    """What is to be ended, if nobody uses it any more."""
    global _desk, _process, _thread
    if _desk is None or _thread is None or _process != os.getpid() or not _is_unused():
        return None
    found = _desk, _thread, _over
    _desk, _thread, _process = None, None, 0
    return found


def end() -> None:
    """Logs no more, as the interpreter ends."""
    # What is there is told before the interpreter ends.
    if _leaving is not None:
        _leaving.join(1)
    if _desk is not None and _process == os.getpid():
        _desk.close()
        if _thread is not None:
            _thread.join(1)


def _work(desk: Desk, over: threading.Event) -> None:
    while (work := desk.take()) is not None:
        _, level, text = work
        if not (is_compat() and text.startswith(_UNHEARD) and not log.hasHandlers()):
            _tell(level, text)
        if over.is_set() and desk.is_idle():
            desk.close()


def _tell(level: int, text: str) -> None:
    # Handlers are the user's: one that fails takes no later line along.
    try:
        log.log(level, "%s", text)
    except BaseException as failed:
        with contextlib.suppress(BaseException):
            sys.excepthook(type(failed), failed, failed.__traceback__)
