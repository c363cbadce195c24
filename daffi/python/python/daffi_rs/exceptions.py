"""What nodes and calls raise. The names and what they derive from are those of daffi 3.0.1; what is new derives from them."""

from __future__ import annotations

import builtins
import typing


class BaseException(builtins.Exception):  # its name in 3.0.1
    """What all failures of this package derive from."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def fire(self) -> typing.NoReturn:
        """Raises it."""
        raise self


class InitializationError(BaseException):
    """A node cannot start, or a callback cannot be registered."""


class Disconnected(BaseException):
    """There is no connection, or it ended while something was waited for."""


class Evicted(BaseException):
    """A newer connection took the name of this node."""


class TransmissionFailure(BaseException):
    """A call did not reach a callback, or its answer did not come back."""


class RemoteCallError(BaseException):
    """A callback failed. What is raised is a class derived from this that bears the name of the one that was raised there."""

    #: The node that ran the callback.
    receiver: str | None = None
    #: The callback.
    method: str | None = None


class CallTimeout(BaseException, TimeoutError):
    """No answer came in time."""

    #: The style of the call, and whom it was to go to.
    call: str
    #: After so many seconds it was given up.
    timeout: float
    #: So many it took in all.
    elapsed: float
    #: Who was asked; `None` where nobody was named, or a Router was to choose.
    receivers: typing.Collection[str] | str | None
    #: The callback.
    method: str | None

    def __init__(
        self,
        *,
        call: str,
        timeout: float,
        elapsed: float,
        receivers: typing.Collection[str] | str | None,
        method: str | None = None,
    ) -> None:
        self.call = call
        self.timeout = timeout
        self.elapsed = elapsed
        self.receivers = receivers
        self.method = method
        lines = [f"RPC call timed out after {timeout}s.\n"]
        facts = {"Call": call, "Callback": method, "Receivers": receivers or "any (broadcast)", "Elapsed": f"{elapsed:.1f}s"}
        lines += [f"  {name + ':':<10} {fact}" for name, fact in facts.items() if fact is not None]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> typing.Any:
        return _remake_timeout, (self.call, self.timeout, self.elapsed, self.receivers, self.method)


def _remake_timeout(
    call: str, timeout: float, elapsed: float, receivers: typing.Any, method: str | None = None
) -> CallTimeout:
    return CallTimeout(call=call, timeout=timeout, elapsed=elapsed, receivers=receivers, method=method)


class ReceiverNotFound(TransmissionFailure):
    """No member exposes the callback, or the one that was asked for does not."""


class ReceiverGone(TransmissionFailure):
    """The receiver left before it answered."""


class Overloaded(TransmissionFailure):
    """A bound was reached at this node or another: the call did not run. Call again later."""


class Stopping(TransmissionFailure):
    """The receiver is stopping: the call did not run. Call again, and another member gets it."""


class AnswerLost(TransmissionFailure):
    """The callback ran, and its answer was dropped, because this node did not take what waited for it."""


class BodyTooLarge(TransmissionFailure):
    """Arguments or result are larger than a node puts together."""


class CallCancelled(TransmissionFailure):
    """Nobody waits any more for the call that this one was made for."""


class ConnectionLost(Disconnected, TransmissionFailure):
    """A call found no connection, or lost it. Whether the callback ran is unknown."""


class NodeEvicted(Evicted, TransmissionFailure):
    """A call of a node whose name a newer connection took. It does not come back."""


__all__ = [
    "AnswerLost",
    "BaseException",
    "BodyTooLarge",
    "CallCancelled",
    "CallTimeout",
    "ConnectionLost",
    "Disconnected",
    "Evicted",
    "InitializationError",
    "NodeEvicted",
    "Overloaded",
    "ReceiverGone",
    "ReceiverNotFound",
    "RemoteCallError",
    "Stopping",
    "TransmissionFailure",
]
