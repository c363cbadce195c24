"""The log of the engine, as lines of the logger `daffi_rs.engine`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading

from ._daffi_rs import Desk, log_to

log = logging.getLogger("daffi_rs.engine")

_desk: Desk | None = None
_process = 0
_thread: threading.Thread | None = None
_lock = threading.Lock()


def begin() -> None:
    """Has the engine log to `logging`, from the level on that is in effect now. Once in a process, and after a fork."""
    global _desk, _process, _thread
    if _process == os.getpid():
        return
    with _lock:
        if _process == os.getpid():
            return
        # The desk of a parent is one that a thread of the parent waits at.
        desk = Desk()
        desk.watch()
        _desk = desk if log_to(desk, min(log.getEffectiveLevel(), 255)) else None
        _process = os.getpid()
        if _desk is not None:
            _thread = threading.Thread(target=_work, args=(_desk,), name="daffi-log", daemon=True)
            _thread.start()


def after_fork() -> None:
    """In a child no other thread holds the lock, whatever one of the parent's did."""
    global _lock
    _lock = threading.Lock()


def end() -> None:
    """Logs no more, as the interpreter ends."""
    if _desk is not None and _process == os.getpid():
        _desk.close()
        # No thread may come back from the engine while the interpreter ends.
        if _thread is not None:
            _thread.join(1)


def _work(desk: Desk) -> None:
    while (work := desk.take()) is not None:
        _, level, text = work
        # Handlers are the user's: one that fails takes no later line along.
        try:
            log.log(level, "%s", text)
        except BaseException as failed:
            with contextlib.suppress(BaseException):
                sys.excepthook(type(failed), failed, failed.__traceback__)
