"""Plain data of other objects, and pickles as far as they may be read."""

from __future__ import annotations

import dataclasses
import json
import operator
import pickle
import threading
import typing
from collections import deque
from collections.abc import Mapping

T = typing.TypeVar("T", bound=type)

#: Pickles of protocol 4 are read by every Python since 3.4.
_PROTOCOL = 4


def pickled(value: typing.Any) -> bytes:
    """The pickle of a value."""
    return pickle.dumps(value, _PROTOCOL)


def plain(value: typing.Any) -> typing.Any:
    """Plain data of a dataclass, a model or another mapping or sequence, one level deep; raises for anything else."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    dump = getattr(type(value), "model_dump", None)
    if dump is not None:
        return dump(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (deque, range)) or type(value) is _array():
        return list(typing.cast(typing.Any, value))
    item = getattr(value, "item", None)
    if item is not None and type(value).__module__.partition(".")[0] == "numpy" and getattr(value, "ndim", 1) == 0:
        return item()
    raise TypeError(f"Object of type {type(value).__name__} is not serializable: send plain data, a dataclass or PICKLE")


def _array() -> type:
    """The class of `array.array`, which is imported when it is first needed."""
    import array

    return array.array


def json_text(args: list[typing.Any], kwargs: dict[str, typing.Any]) -> str:
    """Arguments as JSON."""
    return json.dumps({"args": args, "kwargs": kwargs}, default=_json_default)


def json_parsed(payload: bytes) -> tuple[tuple[typing.Any, ...], dict[str, typing.Any]]:
    """Arguments of what Python writes as JSON, with the numbers that are none there: NaN and Infinity."""
    both = json.loads(payload)
    args, kwargs = (both.get("args"), both.get("kwargs")) if isinstance(both, dict) else (None, None)
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise TypeError('cannot read JSON: {"args": [..], "kwargs": {..}} was expected')
    return tuple(args), kwargs


def _json_default(value: typing.Any) -> typing.Any:
    if isinstance(value, deque) or not (
        dataclasses.is_dataclass(value) or hasattr(type(value), "model_dump") or isinstance(value, Mapping)
    ):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    dump = getattr(type(value), "model_dump", None)
    return dump(value, mode="json") if dump is not None else plain(value)


class Trusted:
    """Classes that pickles may name, beside plain data, and how many values a payload may have."""

    #: As many as payloads of other nodes of this project may have.
    max_values = 1 << 22

    def __init__(self) -> None:
        self._classes: dict[tuple[str, str], typing.Any] = {}
        self._lock = threading.Lock()

    def add(self, cls: type) -> None:
        """Trusts a class: whoever can call this node can make instances of it, in whatever state."""
        with self._lock:
            self._classes = {**self._classes, (cls.__module__, cls.__qualname__): cls}

    def get(self, module: str, name: str) -> typing.Any:
        """The class of this name, if it is trusted."""
        return self._classes.get((module, name))

    def limited(self, max_values: int) -> Trusted:
        """The trusted classes, for payloads of up to so many values."""
        return _Limited(self, max_values)

    def __bool__(self) -> bool:
        return bool(self._classes)


class _Limited(Trusted):
    def __init__(self, trusted: Trusted, max_values: int) -> None:
        self._all, self.max_values = trusted, operator.index(max_values)

    def get(self, module: str, name: str) -> typing.Any:
        return self._all.get(module, name)

    def __bool__(self) -> bool:
        return bool(self._all)


#: What `trust` was called with.
TRUSTED = Trusted()


def trust(cls: T) -> T:
    """Lets pickles make instances of this class: of a dataclass, a pydantic model, an exception or any other.

    Trusting a class is trusting every node that can call this one to make instances of it in any state, without
    `__init__` being run. Use it as a decorator or as a function; it returns the class.
    """
    if not isinstance(cls, type):
        raise TypeError(f"trust() takes a class, not {cls!r}")
    TRUSTED.add(cls)
    return cls


def unpickled(payload: bytes, policy: typing.Any) -> typing.Any:
    """Reads a pickle that names classes, as far as the policy lets it."""
    if policy == "trusting":
        return pickle.loads(payload)
    # What it brings along is much, and most nodes never need it.
    from . import _reading

    return _reading.read(payload, policy)
