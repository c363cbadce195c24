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
_lock = threading.RLock()


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
        if takes:
            _desk, _thread = desk, thread
        else:
            _desk = None
            desk.close()


def after_fork() -> None:
    """In a child no other thread holds the lock, whatever one of the parent's did."""
    global _lock
    _lock = threading.RLock()


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
        # Handlers are the user's: one that fails takes no later line along.
        try:
            log.log(level, "%s", text)
        except BaseException as failed:
            with contextlib.suppress(BaseException):
                sys.excepthook(type(failed), failed, failed.__traceback__)
