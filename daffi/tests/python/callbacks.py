"""The callbacks a peer exposes, as a service or as a worker behind a router."""

import builtins
import hashlib
import threading
import time as clock
from collections import OrderedDict
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from daffi import callback

SPECIAL = {
    "none": None,
    "bool": True,
    "int": -7,
    "i64_min": -(2**63),
    "u64_max": 2**64 - 1,
    "big_int": 2**200 + 1,
    "negative_big_int": -(2**200),
    "float": 0.1,
    "nan": float("nan"),
    "infinity": float("inf"),
    "text": "naïve \N{SNOWMAN} \N{PILE OF POO} \x00 \"quoted\" | bar",
    "empty_text": "",
    "bytes": bytes(range(256)),
    "empty_bytes": b"",
    "bytearray": bytearray(b"\x00\x01\xff"),
    "list": [1, "two", None, [3.5]],
    "tuple": (1, "two", None),
    "empty_tuple": (),
    "set": {1, 2, 3},
    "empty_set": set(),
    "frozenset": frozenset({"a", "b"}),
    "dict": {"a": 1, "b": [True, None]},
    "int_keys": {1: "one", 2: "two"},
    "tuple_keys": {(1, 2): "pair"},
    "ordereddict": OrderedDict([("z", 1), ("a", 2)]),
    "complex": complex(1.5, -2.0),
    "decimal": Decimal("1234567890.0987654321"),
    "uuid": UUID("12345678-1234-5678-1234-567812345678"),
    "date": date(2024, 2, 29),
    "time": time(23, 59, 58, 123456),
    "datetime": datetime(2024, 2, 29, 12, 30, 15, 250000),
    "datetime_utc": datetime(2024, 2, 29, 12, 30, 15, tzinfo=timezone.utc),
    "datetime_offset": datetime(2024, 2, 29, 12, 30, 15, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "datetime_summer": datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")),
    # Clocks show this hour twice: this is the second.
    "datetime_again": datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    "datetime_no_cache": datetime(2024, 1, 1, 12, tzinfo=ZoneInfo.no_cache("America/New_York")),
    "time_utc": time(12, tzinfo=ZoneInfo("UTC")),
    "timedelta": timedelta(days=-1, seconds=3, microseconds=7),
    "nested": {"rows": [{"id": n, "tags": ("x", {n}), "raw": bytes([n])} for n in range(3)]},
}


class CustomError(Exception):
    """A class the caller cannot know."""


class State:
    """What the callbacks remember; the driver reads it with the operations of the same names."""

    def __init__(self):
        self.lock = threading.Lock()
        self.connection = None  # set by a worker, for relay()
        self.name = None
        self.reset()

    def reset(self):
        with self.lock:
            self.notified = 0
            self.records = []
            self.chunks = 0
            self.size = 0
            self.digest = hashlib.sha256()
            self.running = 0
            self.peak = 0


state = State()


def echo(payload):
    return payload


def add(a, b):
    return a + b


def greet(name):
    return f"Hello, {name}!"


def whoami():
    return state.name


def none():
    return None


def total(data):
    return len(data)


def kwargs_only(a, *, b=2):
    return [a, b]


def big(n):
    return b"x" * n


def sleep(seconds):
    """Its peak() is how many of these calls ran at the same time."""
    with state.lock:
        state.running += 1
        state.peak = max(state.peak, state.running)
    try:
        clock.sleep(seconds)
    finally:
        with state.lock:
            state.running -= 1
    return seconds


def peak():
    return state.peak


def fail(message):
    raise ValueError(message)


def fail_as(name, *arguments):
    """Raises any builtin exception, for example SystemExit or KeyError."""
    raise getattr(builtins, name)(*arguments)


def fail_custom():
    raise CustomError("custom failure")


def special(name):
    return SPECIAL[name]


def check_special(name, value):
    """True when value is SPECIAL[name] in type and content, else what came instead."""
    return True if _alike(SPECIAL[name], value) else f"{type(value).__name__} {value!r}"


def _alike(one, other):
    """Equal, and unlike == not across types: 1 is not True here, and NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, OrderedDict):
        return _alike(list(one.items()), list(other.items()))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(item, other[key]) for key, item in one.items())
    return one == other or repr(one) == repr(other)


def special_names():
    return sorted(SPECIAL)


def describe(value):
    """How Python sees a value."""
    return [type(value).__name__, repr(value)]


def notify(*_arguments, **_named):
    with state.lock:
        state.notified += 1


def count():
    return state.notified


def record(value):
    with state.lock:
        state.records.append(value)
    return len(state.records)


def recorded():
    return list(state.records)


def receive_chunk(data):
    raw = data.encode() if isinstance(data, str) else bytes(data)
    with state.lock:
        state.chunks += 1
        state.size += len(raw)
        state.digest.update(raw)


def received():
    return [state.chunks, state.size, state.digest.hexdigest()]


def reset():
    state.reset()


def relay(method, *arguments):
    """A worker calls on through its own connection."""
    if state.connection is None:
        raise RuntimeError("this node has no connection to call through")
    return getattr(state.connection.rpc(timeout=5), method)(*arguments)


def late(name):
    """Registers one more callback while the node runs; it answers "late NAME"."""

    def added():
        return f"late {name}"

    added.__name__ = added.__qualname__ = name
    callback(added)
    return name


CALLBACKS = {
    function.__name__: function
    for function in (
        echo, add, greet, whoami, none, total, kwargs_only, big, sleep, peak, fail, fail_as, fail_custom, special,
        check_special, special_names, describe, notify, count, record, recorded, receive_chunk, received, reset, relay,
        late,
    )
}  # fmt: skip


def expose(names):
    """Registers the named callbacks; all of them for None. Before the node starts: 3.0.1 tells others only then."""
    for name in CALLBACKS if names is None else names:
        callback(CALLBACKS[name])
