"""Nodes that run, whether or not the program still has them, and those of them that are in another's way."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from . import _failures, _log
from ._daffi_rs import forked
from .registry._executor_registry import EXECUTOR_REGISTRY, Executor

if TYPE_CHECKING:
    from .app import Application

log = logging.getLogger("daffi_rs")

#: The nodes that run, and are kept by running.
RUNNING: set[Application] = set()

#: All nodes that run, those too that an event loop keeps.
_alive: weakref.WeakSet[Application] = weakref.WeakSet()
#: A handler of signals stops nodes wherever the main thread is, here, too.
_lock = threading.RLock()


class Told:
    """Stands for a node, which it does not keep: it tells it of callbacks that are registered."""

    __slots__ = ("_node",)

    def __init__(self, node: Application) -> None:
        self._node = weakref.ref(node)

    def __call__(self, executor: Executor) -> None:
        node = self._node()
        if node is not None:
            node._added(executor)

    def is_over(self) -> bool:
        """Whether the node ended, though nobody stopped it."""
        node = self._node()
        return node is None or node._is_over()


def unsubscribe(told: Told) -> None:
    """Tells it of no further callback."""
    while told in EXECUTOR_REGISTRY.subscribers:
        EXECUTOR_REGISTRY.subscribers.remove(told)


def begun(node: Application, inner: Any, desks: list[Any]) -> Any:
    """A node runs. What is given ends it once nothing keeps it, and is detached as it ends in another way.

    `desks`: where its threads wait, which end with it.
    """
    with _lock:
        _alive.add(node)
    forgotten = weakref.finalize(node, _forgotten, node.app_name, inner, desks, node._told, os.getpid())
    forgotten.atexit = False
    return forgotten


def _forgotten(name: str, inner: Any, desks: list[Any], told: Told, process: int) -> None:
    unsubscribe(told)
    if process == os.getpid():
        log.info("nobody has %s any more, and nothing can come of it: it ends", name)
        inner.stop_soon()
        for desk in desks:
            desk.close()
        _log.leave(told)


def ended(node: Application) -> None:
    """A node runs no more."""
    with _lock:
        _alive.discard(node)


def alive() -> list[Application]:
    """The nodes that run."""
    with _lock:
        return list(_alive)


def make_way(node: Application) -> None:
    """Has nodes of this process leave it to one that begins: clients that lost their connection, where they would come
    back only to take its name, or nobody has them any more; and what was on a loop that is closed, if nobody has it.

    In 3.0.1 a client that lost its connection comes back when it is called, and so a program that forgot it, or made
    another in its place, never meets it again.
    """
    lost = [weakref.ref(other) for other in alive() if other is not node and (other._is_lost() or other._is_stranded())]
    for found in lost:
        other = found()
        if other is not None and other._is_lost() and _same(other, node):
            other._abandon(f"{other.app_name} lost its connection, and ended as a newer client of its name began")
        del other
        _let_go(found)


def _same(client: Application, node: Application) -> bool:
    """Whether two clients would be of one name at one server."""
    if node.server_mode is not None or client.app_name != node.app_name:
        return False
    ends = [{end.replace("//localhost:", "//127.0.0.1:") for end in one._endpoints()} for one in (client, node)]
    return not ends[0].isdisjoint(ends[1])


def _let_go(found: weakref.ref[Application]) -> None:
    """Ends a node that nothing but its running keeps, and that serves nobody or nobody any more."""
    node = found()
    if node is None or node._node is None or (node._serves() and not node._is_stranded() and not node._compat):
        return
    kept = node._kept_by()
    kept.discard(node)
    del node
    node = found()
    if node is not None:
        kept.add(node)


def forget_all() -> None:
    """In a child the nodes of its parent are nothing to be told of anything, and their locks nothing to wait for."""
    global _lock
    _lock = threading.RLock()
    forked()
    for node in alive():
        node._unsubscribe()
    RUNNING.clear()
    _alive.clear()
    EXECUTOR_REGISTRY.after_fork()
    _failures.after_fork()
    _log.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_all)
