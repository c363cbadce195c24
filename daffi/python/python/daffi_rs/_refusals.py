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
    """Refuses to wait for what is no name."""
    for member in members:
        if not isinstance(member, str):
            what = f"{member!r} is {an(type(member).__name__)}, and names of members are text"
            if timeout is None:
                raise InvalidReceiver(f"nobody can be waited for so: {what}")
            raise NoSuchMember(f"Timed out after {timeout}s waiting for members: {{{member!r}}}: {what}")


def _some(words: list[str]) -> list[str]:
    return words if len(words) <= _MOST else [*words[:_MOST], f"and {len(words) - _MOST} more"]


def tell_peers(error: ReceiverNotFound, head: str, members: dict[str, list[str]]) -> None:
    """Has an error say which call failed, and who is there that exposes what."""
    lines = []
    for name in _some(sorted(members)):
        lines.append(f"      • {name}")
        if name in members:
            exposed = ", ".join(_some(sorted(members[name])))
            lines.append(f"          callbacks: {f'[{exposed}]' if exposed else '(none)'}")
    peers = "\n".join(lines) or "      (none)"
    _say(error, f"{head}: ReceiverNotFound\n\n  {error.message}\n\n  Connected peers:\n{peers}")


def tell_available(error: ReceiverNotFound, head: str, members: dict[str, list[str]]) -> None:
    """Has an error say which cast failed, and who is there."""
    _say(error, f"{head}.\nAvailable peers: {_some(sorted(members))}\n{error.message}")


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
        f"ConnectionRefused\n\n  Failed to start the server on {host}:{port}.\n  Port {port} on {host} is already occupied "
        f"by another process: give another, or 0 for any that is free ({error.message})"
    )
