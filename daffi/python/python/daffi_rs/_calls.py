"""What calls say of themselves to the engine, and what callbacks know of the call that they serve."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable, Mapping
from typing import Any, Union

from ._daffi_rs import Settings
from ._serialization import SerdeFormat

RPC, RPC_NOWAIT, CAST, CAST_NOWAIT, STREAM, STREAM_NOWAIT, RESULTS, SEND, DUPLEX = range(9)

Receiver = Union[str, None]
Receivers = Union[str, Iterable[str], None]
Headers = Union[Mapping[str, str], Iterable[tuple[str, str]], None]


def is_chunks(value: Any) -> bool:
    """Whether a stream sends what this gives one by one, rather than this itself."""
    if isinstance(value, (str, bytes, bytearray, memoryview, dict)):
        return False
    return hasattr(value, "__iter__") or hasattr(value, "__aiter__")


_NONE = object()


def chunks_of(style: str, name: str, gen: Any = _NONE, *more: Any, **options: Any) -> Any:
    """What gives the chunks of a stream, of the arguments that it was called with: it takes nothing else."""
    if gen is _NONE or more or options:
        raise TypeError(f"{style}() takes what gives the chunks and nothing else: {style}().{name}(chunks)")
    return gen if is_chunks(gen) else [gen]


class Call:
    """What a callback may know of the call that it serves."""

    __slots__ = ("_job", "node")

    def __init__(self, job: Any, node: Any) -> None:
        self._job = job
        #: The node that serves the call.
        self.node = node

    @property
    def name(self) -> str:
        """The callback."""
        return str(self._job.name)

    @property
    def caller(self) -> str:
        """The node that calls."""
        return str(self._job.caller)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more: the caller gave the call up, its time is over, or it has left."""
        return bool(self._job.cancelled)

    @property
    def time_left(self) -> float | None:
        """Seconds until the caller stops waiting; `None` when it does not say."""
        left: float | None = self._job.time_left
        return left

    @property
    def headers(self) -> dict[str, str]:
        """What the caller sent with the call. Anybody who may call may write anything there."""
        return dict(self._job.headers)

    @property
    def serde(self) -> int:
        """The format of the call: one of `SerdeFormat`."""
        return int(self._job.serde)

    def __repr__(self) -> str:
        return f"<call of {self.name}() by {self.caller}>"


_current: contextvars.ContextVar[Call] = contextvars.ContextVar("daffi_rs.current_call")


def current_call() -> Call:
    """The call that the callback which asks serves. Outside of a callback it raises `LookupError`."""
    try:
        return _current.get()
    except LookupError:
        raise LookupError("current_call() was asked for outside of a callback") from None


__all__ = ["Call", "Headers", "Receiver", "Receivers", "SerdeFormat", "Settings", "current_call"]
