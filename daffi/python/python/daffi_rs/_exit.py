"""What becomes of nodes as the program ends."""

from __future__ import annotations

import atexit

# What is registered to run as the main thread ends runs in the opposite order: pools of threads, which callbacks of a
# program that is kept alive use, are to end after that.
import concurrent.futures.thread  # noqa: F401
import contextlib
import logging
import opcode
import os
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _keeping
from ._signals import Signalled, caught

if TYPE_CHECKING:
    from .app import Application

log = logging.getLogger("daffi_rs")

#: By what a module that came to its end was left.
_RETURNS = {opcode.opmap[name] for name in ("RETURN_VALUE", "RETURN_CONST") if name in opcode.opmap}
#: The frame of the program's main module, once a node was made in it.
_main: types.FrameType | None = None
#: Whether there was a node that keeps the process alive.
_keeps = False


class _Place:
    """Stops a node at the end of the program, which does not keep it. What nobody has any more leaves its place."""

    __slots__ = ("__weakref__", "_node")

    def __init__(self, node: Application) -> None:
        self._node = weakref.ref(node, self._left)

    def _left(self, _: object) -> None:
        atexit.unregister(self)

    def __call__(self) -> None:
        node = self._node()
        if node is not None:
            node._stop_at_exit()


def stop_at_exit(node: Application) -> None:
    """Has a node stopped at the end of the program: what is registered last ends first, as the program's own hooks do."""
    atexit.register(_Place(node))
    global _main
    if _main is None:
        _main = _main_module()


def _main_module() -> types.FrameType | None:
    """The frame of the program's main module, where the main thread is in it."""
    names = vars(sys.modules["__main__"]) if "__main__" in sys.modules else None
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and not (frame.f_globals is names and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    return frame


def _came_to_its_end() -> bool:
    """Whether the main module was left at its end, rather than by `SystemExit`, of which nothing else is left to see,
    or another error. One that was never seen, since nodes were made elsewhere, may have been."""
    return _main is None or _main.f_lasti < 0 or _main.f_code.co_code[_main.f_lasti] in _RETURNS


def main_ended() -> None:
    """The program's main thread is through. Nodes that keep the process alive are waited for."""
    kept = [node for node in _keeping.alive() if _serves(node) and node._compat and node.workers > 1]
    if kept:
        _wait(kept)


def tell_left() -> None:
    """The program ends, and all its threads but daemons have. It says so of nodes that served callbacks, that nobody
    stopped, and that nobody will reach any more."""
    global _main
    explained = _is_explained() or not _came_to_its_end()
    _main = None
    alive = _keeping.alive()
    left = [node for node in alive if _serves(node) and not node._joining]
    if explained or not left:
        return
    listens = {node.server_mode is not None for node in alive}
    # Where clients and a server are of one program it calls itself, as tests do. A client may be one that only calls,
    # beside callbacks that another part of the program exposes; and in compat mode it ends with its program.
    if listens == {True}:
        say = log.warning
    elif listens == {False} and not any(node._compat for node in left):
        say = log.info
    else:
        return
    say(
        "the program ends, and with it what serves callbacks: %s; call join() to go on serving until a signal or stop(), "
        "or stop() to end it in order",
        ", ".join(sorted(node.app_name for node in left)),
    )


def _serves(node: Application) -> bool:
    return node._is_here() and node._serves_by_threads()


def _is_explained() -> bool:
    """Whether an error ended the program, or somebody at a prompt did."""
    return getattr(sys, "last_value", None) is not None or hasattr(sys, "ps1")


def _wait(kept: list[Application]) -> None:
    ended: BaseException | None = None
    with caught() as signals:
        try:
            signals.waits = True
            for node in kept:
                if signals.numbers:
                    break
                with contextlib.suppress(Exception):
                    node._wait()
        except Signalled:
            pass
        except (SystemExit, KeyboardInterrupt) as error:
            # By a handler of the program's own.
            ended = error
        signals.waits = False
    if signals.numbers or ended is not None:
        for node in _keeping.alive():
            with contextlib.suppress(Exception):
                node._stop_by_signal()
    if ended is not None and (code := _code(ended)):
        atexit.register(_end, code, os.getpid())


def _code(error: BaseException) -> int:
    """The exit code that the interpreter gives a program which this ends."""
    if not isinstance(error, SystemExit):
        return 130
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    with contextlib.suppress(Exception):
        print(error.code, file=sys.stderr, flush=True)
    return 1


def _end(code: int, process: int) -> None:
    """Ends the program with this code, which the interpreter has settled on another of already. It comes first of all
    hooks, so that it has the others run."""
    if process != os.getpid():
        return
    atexit.unregister(_end)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def keeps_alive() -> None:
    """A node begins that keeps the process alive after the main thread. Pools of processes end after it, too, whose
    module is loaded here, since it takes long and cannot be loaded any more then."""
    global _keeps
    if not _keeps:
        _keeps = True
        # Where the platform has none there are no such pools, and at the end of the program nothing is to be kept.
        with contextlib.suppress(ImportError, RuntimeError):
            import concurrent.futures.process

            _register(main_ended)


# Before threads are waited for and before hooks of `atexit` run, as threads that keep a process alive do it.
_register: Callable[[Callable[[], None]], Any] = getattr(threading, "_register_atexit", atexit.register)
with contextlib.suppress(RuntimeError):  # the program ends already
    _register(main_ended)
