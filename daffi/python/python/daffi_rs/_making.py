"""What pickles may make beside plain data without being trusted, and what it may be made of."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import ipaddress
import pathlib
import pickle
import re
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

#: Python reads a number of more digits in a time that grows with their square.
MAX_DIGITS = 4300
_MAX_BITS = 3 * MAX_DIGITS
_FRACTION = re.compile(r"\s*[-+]?\d+(/\d+)?\s*")
_SIZED = (list, tuple, set, frozenset, dict, str, bytes, bytearray, collections.deque)
_FACTORIES = (None, int, float, str, list, dict, set, tuple, bool, bytes)

#: What a dict takes with its first key beside what it is without, and each item of a set as that grows.
FIRST_KEY_BYTES, SET_ITEM_BYTES = 136, 104
#: Text that is taken apart becomes an object for each character.
_CHARACTER_BYTES = 88

#: Makes an object for a reader, which pays for it, of what the pickle gives.
Make = Callable[..., Any]


def refuse(why: str) -> pickle.UnpicklingError:
    """What is raised of a pickle that asks for too much, or for what Python never writes."""
    return pickle.UnpicklingError(f"the pickle {why}")


def check_number(value: Any) -> None:
    """Refuses numbers, and text of them, that are slow to read or to count with."""
    if isinstance(value, (str, bytes)):
        if len(value) > MAX_DIGITS:
            raise refuse(f"has a number of {len(value)} characters: {MAX_DIGITS} are the most")
    elif isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise refuse(f"makes something of a number of {value.bit_length()} bits: {_MAX_BITS} are the most")
    elif not (value is None or isinstance(value, (float, datetime.tzinfo, datetime.timedelta, uuid.SafeUUID))):
        raise refuse(f"makes a number, a time or a name of a {type(value).__name__}, which Python never writes")


def _pay_for_numbers(reader: Any, held: int, args: Any) -> None:
    """Pays for what is made of numbers, or of text of them, which it may be as long as."""
    for arg in args:
        check_number(arg)
        if isinstance(arg, (str, bytes)):
            held += len(arg)
        elif isinstance(arg, int):
            held += arg.bit_length() >> 2
    reader.pay(held)


def _of_scalars(cls: Any) -> Make:
    def make(reader: Any, *args: Any) -> Any:
        _pay_for_numbers(reader, 112, args)
        return cls(*args)

    return make


def _of_items(cls: Any, each: int, base: int = 64) -> Make:
    def make(reader: Any, *args: Any) -> Any:
        if len(args) > 1 or not all(isinstance(arg, _SIZED) for arg in args):
            # A range or another lazy iterable would be a few bytes that make gigabytes.
            raise refuse(f"makes a {cls.__name__} of {', '.join(type(arg).__name__ for arg in args)}, which Python never writes")
        for arg in args:
            reader.pay((each + _CHARACTER_BYTES * isinstance(arg, str)) * len(arg))
        reader.pay(base)
        keys: dict[int, int] = {}
        if issubclass(cls, (set, frozenset, dict)):
            for arg in args:
                pairs = issubclass(cls, dict) and cls is not collections.Counter and not isinstance(arg, dict)
                for item in arg:
                    if pairs and not (isinstance(item, (list, tuple)) and len(item) == 2):
                        raise refuse(f"makes a {cls.__name__} of what are no pairs")
                    reader.check_key(item[0] if pairs else item, keys)
        made = cls(*args)
        return reader.nested(made) if cls is frozenset else made

    return make


def keyed(made: Any) -> bool:
    """Whether keys are put into it one by one."""
    return isinstance(made, (set, dict))


def _str(reader: Any, text: Any = "", encoding: str = "utf-8", errors: str = "strict") -> str:
    if not isinstance(text, (str, bytes)) or encoding not in ("latin1", "ascii", "utf-8"):
        raise refuse(f"makes text of a {type(text).__name__} in a way that Python never writes")
    if isinstance(text, str):
        return text
    # One character may make all of them wide.
    reader.pay(80 + 4 * len(text))
    return text.decode(encoding, errors)


def _bool(reader: Any, value: Any = False) -> bool:
    check_number(value)
    return bool(value)


def _deque(reader: Any, values: Any = (), maxlen: int | None = None) -> Any:
    if not isinstance(values, _SIZED):
        raise refuse(f"makes a deque of a {type(values).__name__}, which Python never writes")
    reader.pay(784 + (9 + _CHARACTER_BYTES * isinstance(values, str)) * len(values))
    return collections.deque(values, maxlen)


def _default_dict(reader: Any, factory: Any = None) -> Any:
    if not any(factory is known for known in _FACTORIES):
        raise refuse("makes a defaultdict with a factory that makes no plain data")
    reader.pay(96)
    return collections.defaultdict(factory)


def _fraction(reader: Any, numerator: Any = 0, denominator: Any = None) -> Any:
    _pay_for_numbers(reader, 128, (numerator, denominator))
    # "1e1000000000" is a few characters, and a number of gigabytes.
    if isinstance(numerator, str) and not _FRACTION.fullmatch(numerator):
        raise refuse("makes a fraction of text in a way that Python never writes")
    made: Any = fractions.Fraction
    return made(numerator, denominator)


def _path(cls: Any) -> Make:
    def make(reader: Any, *parts: Any) -> Any:
        if not all(isinstance(part, str) for part in parts):
            raise refuse("makes a path of what is no text")
        each, of_name, separators = 4, 24, "/"
        if issubclass(cls, pathlib.PureWindowsPath):
            # Its hash keeps all names in small letters, which may be more than there were.
            each, of_name, separators = 16, 72, "/\\"
        for part in parts:
            names = 1 + sum(map(part.count, separators))
            reader.pay(each * len(part) + of_name * names)
        reader.pay(320)
        return cls(*parts)

    return make


def _zone(reader: Any, key: Any) -> zoneinfo.ZoneInfo:
    if not isinstance(key, str) or len(key) > 255:
        raise refuse("names a zone that is none")
    reader.look_for_zone()
    return zoneinfo.ZoneInfo(key)


def encode(text: str, encoding: str = "latin1") -> bytes:
    """What protocols up to 2 name for bytes: `_codecs.encode`."""
    return text.encode(encoding)


def _encode(reader: Any, text: Any, encoding: str = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "ascii", "utf-8"):
        raise refuse("encodes text in a way that Python never writes")
    reader.pay(40 + 4 * len(text))
    return text.encode(encoding)


def reconstruct(cls: Any, base: Any, state: Any) -> Any:
    """What protocols 0 and 1 name for an instance of a class: `copyreg._reconstructor`."""
    if base is object:
        return object.__new__(cls)
    made = base.__new__(cls, state)
    if base.__init__ is not object.__init__:
        base.__init__(made, state)
    return made


def _reconstruct(reader: Any, cls: Any, base: Any, state: Any) -> Any:
    if cls is not uuid.UUID and not reader.is_trusted(cls):
        raise refuse(f"makes an instance of {cls!r} in a way that Python never writes")
    if base is not object:
        if not any(base is plain for plain in (list, dict, set, frozenset, tuple, str, bytes, int, float)):
            raise refuse(f"makes an instance of {cls!r} out of {base!r}")
        # What it is made of is held against the same limits.
        MAKERS[base][1](reader, state)
    reader.pay(200)
    return reconstruct(cls, base, state)


#: The names under which pickles have them, and what makes each.
_TABLE: list[tuple[str, str, Any, Make]] = [
    *(("builtins", cls.__name__, cls, _of_items(cls, SET_ITEM_BYTES, 216)) for cls in (set, frozenset)),
    *(("builtins", cls.__name__, cls, _of_items(cls, 8)) for cls in (list, tuple)),
    *(("builtins", cls.__name__, cls, _of_items(cls, 1)) for cls in (bytes, bytearray)),
    ("builtins", "dict", dict, _of_items(dict, 48, 64 + FIRST_KEY_BYTES)),
    ("builtins", "str", str, _str),
    ("builtins", "bool", bool, _bool),
    ("builtins", "object", object, lambda reader: reader.pay(16) or object()),
    *(("builtins", cls.__name__, cls, _of_scalars(cls)) for cls in (int, float, complex, range, slice)),
    ("collections", "OrderedDict", collections.OrderedDict, _of_items(collections.OrderedDict, 144, 320)),
    ("collections", "Counter", collections.Counter, _of_items(collections.Counter, 48, 320)),
    ("collections", "deque", collections.deque, _deque),
    ("collections", "defaultdict", collections.defaultdict, _default_dict),
    ("_codecs", "encode", encode, _encode),
    ("copyreg", "_reconstructor", reconstruct, _reconstruct),
    *(
        ("datetime", cls.__name__, cls, _of_scalars(cls))
        for cls in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone)
    ),
    ("decimal", "Decimal", decimal.Decimal, _of_scalars(decimal.Decimal)),
    ("fractions", "Fraction", fractions.Fraction, _fraction),
    *(
        ("ipaddress", cls.__name__, cls, _of_scalars(cls))
        for cls in (ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv6Address, ipaddress.IPv6Network)
    ),
    *(
        ("pathlib", cls.__name__, cls, _path(cls))
        for cls in (pathlib.Path, pathlib.PosixPath, pathlib.PurePath, pathlib.PurePosixPath, pathlib.PureWindowsPath)
    ),
    ("uuid", "UUID", uuid.UUID, _of_scalars(uuid.UUID)),
    ("uuid", "SafeUUID", uuid.SafeUUID, _of_scalars(uuid.SafeUUID)),
    ("zoneinfo", "ZoneInfo", zoneinfo.ZoneInfo, _zone),
]

#: What a name stands for.
NAMES: dict[tuple[str, str], Any] = {(module, name): made for module, name, made, _ in _TABLE}
# Its name in Python 3.13.
NAMES.update({("pathlib._local", name): made for module, name, made, _ in _TABLE if module == "pathlib"})

#: What makes each, found by the thing itself.
MAKERS: dict[Any, tuple[Any, Make]] = {made: (made, make) for _, _, made, make in _TABLE}
