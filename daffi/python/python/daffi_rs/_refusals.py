"""Errors of what a call or a node was given, and words for those whom it could not reach."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from typing import Any

from .exceptions import InitializationError, ReceiverNotFound, TransmissionFailure
from .utils.misc import an

#: So many members, and callbacks of each, an error names.
_MOST = 20
#: So many characters of each of their names.
_LONGEST = 100
#: What an error says that was not put in the words of a call yet.
UNTOLD = "No receivers found (ReceiverNotFound)"
_TAKEN = re.compile(rf"cannot listen on \w+://(.+):(\d+): .*\(os error {errno.EADDRINUSE}\)")


class InvalidReceiver(TransmissionFailure, TypeError):
    """What was given as receiver is no name of a member."""


class NoSuchMember(TimeoutError, TypeError):
    """What is waited for is no name, so that no member could ever bear it."""


class EndlessTimeout(ValueError, OverflowError):
    """A timeout that never ends."""


class Unsendable(TransmissionFailure, UnicodeError):
    """Text that cannot be written as bytes."""


def _names(value: Any) -> list[str] | None:
    """The names in what was given as receivers; `None`: it holds something else."""
    if isinstance(value, (bytes, bytearray, memoryview)) or not isinstance(value, Iterable):
        return None
    names = list(value)
    return names if all(isinstance(name, str) for name in names) else None


def receivers(value: Any) -> Any:
    """The receivers of a call that goes to several, as the engine takes them."""
    if value is None or isinstance(value, str):
        return value
    names = _names(value)
    if names is None:
        raise InvalidReceiver(
            f"receiver={value!r}: it must be the name of a member, as text, or several of them, and it is "
            f"{an(type(value).__name__)}"
        )
    return names


def receiver(value: Any) -> Any:
    """The receiver of a call that goes to one. Several are refused, since all but one would be forgotten."""
    if value is None or isinstance(value, str):
        return value
    names = receivers(value)
    if len(names) > 1:
        raise TypeError(f"receiver is {value!r}: this call goes to one, and cast() and cast_nowait() to several")
    return names


def check_members(members: Iterable[Any], timeout: Any) -> None:
    """Refuses to wait for what is no name, or for what is no time."""
    if timeout is not None:
        _check_timeout(timeout)
    for member in members:
        if isinstance(member, str):
            continue
        what = f"{member!r} is {an(type(member).__name__)}, and names of members are text"
        if isinstance(member, Iterable) and not isinstance(member, (bytes, bytearray, memoryview)):
            what = f"nobody can be waited for so: {what}; give the names one by one"
        elif timeout is None:
            what = f"nobody can be waited for so: {what}"
        else:
            what = f"Timed out after {timeout}s waiting for members: {{{member!r}}}: {what}"
        raise InvalidReceiver(what) if timeout is None else NoSuchMember(what)


def _check_timeout(timeout: Any) -> None:
    try:
        if not isinstance(timeout, (str, bytes, bytearray)):
            float(timeout)
            return
    except (TypeError, ValueError):
        pass
    raise TypeError(f"timeout={timeout!r}: it must be a number of seconds, and it is {an(type(timeout).__name__)}")


def shown(name: str) -> str:
    """A name as texts for people show it. Others chose it, who may write what looks like a line of a log, and much."""
    cut = name[:_LONGEST]
    told = cut if cut.isprintable() else ascii(cut)[1:-1]
    return told if len(told) <= _LONGEST and cut == name else f"{told[:_LONGEST]}\N{HORIZONTAL ELLIPSIS}"


def _some(names: Iterable[str]) -> list[str]:
    """Some of the names, in their order, and how many more there are."""
    names = sorted(names)
    more = [f"and {len(names) - _MOST} more"] if len(names) > _MOST else []
    return [shown(name) for name in names[:_MOST]] + more


class Peers:
    """Who is there, in words."""

    __slots__ = ("available", "connected")

    def __init__(self, members: dict[str, list[str]]) -> None:
        names = sorted(members)
        lines = [f"{shown(name)} exposes {', '.join(_some(members[name])) or 'nothing'}" for name in names[:_MOST]]
        if len(names) > _MOST:
            lines.append(f"and {len(names) - _MOST} more")
        self.connected = "Connected peers:" + ("".join(f"\n- {line}" for line in lines) or " none")
        self.available = "Available peers: [" + ", ".join(f"'{name}'" for name in _some(names)) + "]"


def tell_peers(error: ReceiverNotFound, head: str, peers: Peers) -> None:
    """Has an error say which call failed, and who is there that exposes what."""
    _say(error, f"{head}: ReceiverNotFound: {error.message}\n{peers.connected}")


def tell_available(error: ReceiverNotFound, head: str, peers: Peers) -> None:
    """Has an error say which cast failed, and who is there."""
    _say(error, f"{head}.\n{peers.available}\n{error.message}")


def _say(error: ReceiverNotFound, text: str) -> None:
    error.message = text
    error.args = (text,)


def not_listening(error: InitializationError) -> InitializationError:
    """The error of a node that cannot listen: of one whose port is taken it says so."""
    taken = _TAKEN.search(error.message)
    if taken is None:
        return error
    host, port = taken.groups()
    return InitializationError(
        f"Failed to start the server on {host}:{port}: the port is already occupied by another process. Give another, or "
        f"0 for any that is free ({error.message})"
    )
