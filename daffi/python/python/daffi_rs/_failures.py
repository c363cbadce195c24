"""Makes the exceptions of what failed in the engine."""

from __future__ import annotations

import threading
from typing import Any

from . import _refusals, exceptions

_KINDS: dict[str, type[Exception]] = {
    "no_receiver": exceptions.ReceiverNotFound,
    "receiver_gone": exceptions.ReceiverGone,
    "overloaded": exceptions.Overloaded,
    "stopping": exceptions.Stopping,
    "answer_lost": exceptions.AnswerLost,
    "too_large": exceptions.BodyTooLarge,
    "cancelled": exceptions.CallCancelled,
    "disconnected": exceptions.ConnectionLost,
    "stopped": exceptions.ConnectionLost,
    "evicted": exceptions.NodeEvicted,
    "initialization": exceptions.InitializationError,
    "endless": _refusals.EndlessTimeout,
    "unsendable": _refusals.Unsendable,
    "failed": exceptions.TransmissionFailure,
}

#: Who was asked where nobody was chosen in time, as the engine says it.
_ANY = "any member"

# Peers name the classes of their errors, so only so many are kept.
_MAX_CLASSES = 1024
_MAX_NAME = 256
_UNSHOWN = "\N{REPLACEMENT CHARACTER}"
_classes: dict[tuple[str, str], type[exceptions.RemoteCallError]] = {}
_lock = threading.RLock()


def after_fork() -> None:
    """In a child no other thread holds the lock, whatever one of the parent's did."""
    global _lock
    _lock = threading.RLock()


def _fit(name: str) -> str:
    """The name as a class of Python may bear it, and tracebacks show it: no long one, since it is kept, and nothing in it
    that a terminal would obey."""
    name = name[:_MAX_NAME]
    return name if name.isprintable() else "".join(one if one.isprintable() else _UNSHOWN for one in name)


def _remote_class(module: str, name: str) -> type[exceptions.RemoteCallError]:
    module, name = _fit(module), _fit(name)
    known = _classes.get((module, name))
    if known is not None:
        return known
    made = type(name, (exceptions.RemoteCallError,), {"__module__": module, "__reduce__": _reduce})
    with _lock:
        if len(_classes) >= _MAX_CLASSES:
            _classes.clear()
        return _classes.setdefault((module, name), made)


def _reduce(error: exceptions.RemoteCallError) -> tuple[Any, ...]:
    return _remake, (type(error).__module__, type(error).__name__, error.message)


def _remake(module: str, name: str, message: str) -> exceptions.RemoteCallError:
    return _remote_class(module, name)(message)


def exception(kind: str, text: str, details: dict[str, Any]) -> Exception:
    """The exception of a failure of this kind."""
    error: Exception
    if kind == "remote":
        remote = _remote_class(details["module"], details["class"])(text)
        remote.receiver, remote.method = details["receiver"], details["method"]
        error = remote
    elif kind == "timeout":
        after = details["after"]
        after = int(after) if after == int(after) else after
        asked = None if details["receiver"] == _ANY else {details["receiver"]}
        error = exceptions.CallTimeout(
            call="call", timeout=after, elapsed=details["after"], receivers=asked, method=details["method"]
        )
    else:
        error = _KINDS[kind](f"{_refusals.UNTOLD}: {text}" if kind == "no_receiver" else text)
    if "chunk" in details:
        error.chunk = details["chunk"]  # type: ignore[attr-defined]
    return error
