"""Plain data of other objects, and pickles as far as they may be read."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import pickletools
import threading
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping

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


def _json_default(value: typing.Any) -> typing.Any:
    if isinstance(value, deque) or not (
        dataclasses.is_dataclass(value) or hasattr(type(value), "model_dump") or isinstance(value, Mapping)
    ):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    dump = getattr(type(value), "model_dump", None)
    return dump(value, mode="json") if dump is not None else plain(value)


class Trusted:
    """Classes that pickles may name, beside plain data."""

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

    def __bool__(self) -> bool:
        return bool(self._classes)


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


def _items(what: str, value: typing.Any) -> typing.Any:
    # A range or another lazy iterable would be a few bytes that make gigabytes.
    if not isinstance(value, (list, tuple, set, frozenset, dict, str, bytes)):
        raise pickle.UnpicklingError(f"a pickle makes {what} of a {type(value).__name__}, which Python never writes")
    return value


def _one(what: str, make: Callable[..., typing.Any]) -> Callable[..., typing.Any]:
    def made(*args: typing.Any) -> typing.Any:
        return make(*(_items(what, arg) for arg in args))

    return made


def _bytearray(*args: typing.Any) -> bytearray:
    return bytearray(*(_items("a bytearray", arg) for arg in args))


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "ascii", "utf-8"):
        raise pickle.UnpicklingError("a pickle encodes text in a way that Python never writes")
    return text.encode(encoding)


def _deque(values: typing.Any = (), maxlen: int | None = None) -> deque[typing.Any]:
    return deque(_items("a deque", values), maxlen)


def _default_dict(factory: typing.Any = None) -> defaultdict[typing.Any, typing.Any]:
    if factory not in (None, int, float, str, list, dict, set, tuple, bool, bytes):
        raise pickle.UnpicklingError("a pickle makes a defaultdict with a factory that makes no plain data")
    return defaultdict(factory)


_CONTAINERS: dict[str, typing.Any] = {
    "set": _one("a set", set),
    "frozenset": _one("a frozenset", frozenset),
    "list": _one("a list", list),
    "dict": _one("a dict", dict),
    "tuple": _one("a tuple", tuple),
    "bytearray": _bytearray,
    "complex": complex,
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "bytes": _one("bytes", bytes),
    "range": range,
    "slice": slice,
    "object": object,
}

_NAMES: dict[tuple[str, str], typing.Any] = {
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "deque"): _deque,
    ("collections", "defaultdict"): _default_dict,
    ("collections", "Counter"): _one("a Counter", Counter),
}

_LIBRARY = {
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "ipaddress": ("IPv4Address", "IPv4Network", "IPv6Address", "IPv6Network"),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath"),
    "uuid": ("UUID", "SafeUUID"),
    "zoneinfo": ("ZoneInfo",),
}


def _reconstruct(cls: typing.Any, base: typing.Any, state: typing.Any) -> typing.Any:
    # What protocols 0 and 1 write for an instance of a class: find_class let only trusted ones pass.
    return object.__new__(cls) if base is object else base.__new__(cls, state)


class _Reader(pickle.Unpickler):
    """Reads what is plain data, or of trusted classes; anything else is refused by its name."""

    def __init__(self, payload: bytes, trusted: Trusted) -> None:
        super().__init__(io.BytesIO(payload))
        self._trusted = trusted

    def find_class(self, module: str, name: str) -> typing.Any:
        trusted = self._trusted.get(module, name)
        if trusted is not None:
            return trusted
        if module in ("builtins", "__builtin__") and name in _CONTAINERS:
            return _CONTAINERS[name]
        if (module, name) == ("copyreg", "_reconstructor"):
            return _reconstruct
        if (module, name) in _NAMES:
            return _NAMES[module, name]
        if name in _LIBRARY.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(
            f"PICKLE names {module}.{name}, which is not plain data and is not trusted here, and nothing was imported or "
            f"called: send plain data, call daffi_rs.trust({name}) on this side, or give the node pickle='trusting' if "
            "everybody who can reach it may run code here"
        )

    def persistent_load(self, pid: typing.Any) -> typing.Any:
        raise pickle.UnpicklingError("the pickle refers to something outside of it")


def unpickled(payload: bytes, policy: typing.Any) -> typing.Any:
    """Reads a pickle that names classes, as far as the policy lets it."""
    if policy == "trusting":
        return pickle.loads(payload)
    # A memo index beyond what the pickle can hold would take memory on the word of a few bytes.
    for opcode, argument, _ in pickletools.genops(payload):
        if opcode.name in ("BINPUT", "LONG_BINPUT", "PUT") and int(argument or 0) > len(payload):
            raise pickle.UnpicklingError("the pickle is broken: it memoizes more than it holds")
    return _Reader(payload, policy).load()


