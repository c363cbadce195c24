"""What becomes of nodes as the program ends."""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _keeping
from ._signals import Signalled, caught

if TYPE_CHECKING:
    from .app import Application

log = logging.getLogger("daffi_rs")


class _Place:
    """Stops a node at the end of the program, which does not keep it. What nobody has any more leaves its place to
    another, so that there are no more of them than there were nodes at once."""

    __slots__ = ("__weakref__", "_node")
    _node: weakref.ref[Application]

    def hold(self, node: Application) -> None:
        self._node = weakref.ref(node, self._left)

    def _left(self, _: object) -> None:
        _free.append(self)

    def __call__(self) -> None:
        node = self._node()
        if node is not None:
            node._stop_at_exit()


_free: list[_Place] = []


def stop_at_exit(node: Application) -> None:
    """Has a node stopped at the end of the program: what is registered last ends first, as the program's own hooks do."""
    try:
        place = _free.pop()
    except IndexError:
        place = _Place()
        atexit.register(place)
    place.hold(node)


def main_ended() -> None:
    """The program's main thread is through. Nodes that keep the process alive are waited for; of others that served
    callbacks, and that nobody will reach any more, it says so."""
    nodes = [node for node in _keeping.alive() if node._is_here() and node._serves_by_threads()]
    kept = [node for node in nodes if node._compat and node.workers > 1]
    if kept:
        _wait(kept)
    elif _are_left(nodes) and not _is_explained():
        names = ", ".join(sorted(node.app_name for node in nodes))
        log.warning(
            "the program ends, and with it what serves callbacks: %s; call join() to go on serving until a signal or "
            "stop(), or stop() to end it in order",
            names,
        )


def _are_left(nodes: list[Application]) -> bool:
    """Whether others may rely on these. Where clients and a server are of one program it calls itself, as tests do, and
    a client in compat mode ends with its program, as in 3.0.1."""
    listens = {node.server_mode is not None for node in _keeping.alive()}
    return bool(nodes) and (listens == {True} or (listens == {False} and not any(node._compat for node in nodes)))


def _is_explained() -> bool:
    """Whether an error ended the program, or somebody at a prompt did."""
    return getattr(sys, "last_value", None) is not None or hasattr(sys, "ps1")


def _wait(kept: list[Application]) -> None:
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
        signals.waits = False
    if signals.numbers:
        for node in _keeping.alive():
            with contextlib.suppress(Exception):
                node._stop_by_signal()


# Before threads are waited for and before hooks of `atexit` run, as threads that keep a process alive do it.
_register: Callable[[Callable[[], None]], Any] = getattr(threading, "_register_atexit", atexit.register)
with contextlib.suppress(RuntimeError):  # the program ends already
    _register(main_ended)
