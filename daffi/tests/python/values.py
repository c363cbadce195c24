"""The JSON forms of Python values in the control protocol.

What JSON cannot carry is an object with one key that starts with "$": {"$bytes": "00ff"}. README.md lists all of them.
"""

import hashlib
import traceback
from collections import OrderedDict
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from uuid import UUID

MAX_BYTES = 1024  # longer bytes are answered as their digest, so that a 30 MiB echo stays one short line
MAX_TEXT = 64 * 1024


def encode(value):
    """The JSON form of a result."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if len(value) <= MAX_TEXT else _digest(kind, value.encode("utf-8", "surrogatepass"))
    if kind is int:  # JSON readers hold 64 bits
        return value if -(2**63) <= value < 2**64 else {"$int": str(value)}
    if kind is float:
        return value if isfinite(value) else {"$float": repr(value)}
    if kind in (bytes, bytearray):
        return {f"${kind.__name__}": value.hex()} if len(value) <= MAX_BYTES else _digest(kind, value)
    if kind is list:
        return [encode(item) for item in value]
    if kind is tuple:
        return {"$tuple": [encode(item) for item in value]}
    if kind in (set, frozenset):  # sorted: the order of a set differs from run to run
        return {f"${kind.__name__}": [encode(item) for item in sorted(value, key=repr)]}
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: encode(item) for key, item in value.items()}
        return {"$dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if kind is OrderedDict:
        return {"$ordereddict": [[encode(key), encode(item)] for key, item in value.items()]}
    if kind in (date, datetime, time):
        return {f"${kind.__name__}": value.isoformat()}
    if kind is timedelta:
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if kind in (Decimal, UUID):
        return {f"${kind.__name__.lower()}": str(value)}
    if kind is complex:
        return {"$complex": [encode(value.real), encode(value.imag)]}
    if isinstance(value, BaseException):  # cast() returns them as results
        return {"$error": encode_error(value)}
    return {"$object": [f"{kind.__module__}.{kind.__qualname__}", repr(value)]}


def encode_error(error):
    """What a driver may want to know about an exception."""
    return {
        "class": type(error).__name__,
        "module": type(error).__module__,
        "message": str(error),
        "bases": [base.__name__ for base in type(error).__mro__[1:-1]],
        "frames": [frame.name for frame in traceback.extract_tb(error.__traceback__)],
    }


def decode(form, index=0):
    """The value of an argument; index is the number of the call in a series, the value of {"$index": n} minus n."""
    if isinstance(form, list):
        return [decode(item, index) for item in form]
    if not isinstance(form, dict):
        return form
    if len(form) == 1:
        (tag, body), = form.items()
        if tag in _DECODERS:
            return _DECODERS[tag](body, index)
        if tag.startswith("$"):
            raise ValueError(f"unknown tag {tag}")
    return {key: decode(item, index) for key, item in form.items()}


def chunks(form):
    """The chunks of a stream, one at a time."""
    if isinstance(form, dict) and "$chunks" in form:
        plan = form["$chunks"]
        return (chunk(plan["size"], number, plan.get("seed", 0)) for number in range(plan["count"]))
    return (decode(item) for item in form)


def chunk(size, number, seed):
    """Byte j is (seed + 31 * number + 7 * j) mod 256, except that the first four are the number, little-endian."""
    pattern = bytes((seed + 31 * number + 7 * j) & 255 for j in range(256))
    whole = (pattern * (size // 256 + 1))[:size]
    return (number.to_bytes(4, "little") + whole[4:])[:size]


def _digest(kind, raw):
    return {"$sha256": hashlib.sha256(raw).hexdigest(), "len": len(raw), "type": kind.__name__}


def _items(form, index):
    return [decode(item, index) for item in form]


def _pairs(form, index):
    return [(decode(key, index), decode(item, index)) for key, item in form]


_DECODERS = {
    "$bytes": lambda body, _: bytes.fromhex(body),
    "$bytearray": lambda body, _: bytearray.fromhex(body),
    "$repeat": lambda body, _: bytes.fromhex(body[0]) * body[1],
    "$repeat_text": lambda body, _: body[0] * body[1],
    "$times": lambda body, index: [decode(body[0], index) for _ in range(body[1])],
    "$index": lambda body, index: body + index,
    "$int": lambda body, _: int(body),
    "$float": lambda body, _: float(body),
    "$tuple": lambda body, index: tuple(_items(body, index)),
    "$set": lambda body, index: set(_items(body, index)),
    "$frozenset": lambda body, index: frozenset(_items(body, index)),
    "$dict": lambda body, index: dict(_pairs(body, index)),
    "$ordereddict": lambda body, index: OrderedDict(_pairs(body, index)),
    "$date": lambda body, _: date.fromisoformat(body),
    "$datetime": lambda body, _: datetime.fromisoformat(body),
    "$time": lambda body, _: time.fromisoformat(body),
    "$timedelta": lambda body, _: timedelta(*body),
    "$decimal": lambda body, _: Decimal(body),
    "$uuid": lambda body, _: UUID(body),
    "$complex": lambda body, index: complex(*_items(body, index)),
}
