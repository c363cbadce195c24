"""Prints what CPython writes for each case below: name, protocol and pickle in hexadecimal.

The output of several versions of Python, without repeated lines, is pickles.txt:

    for python in python3.9 python3.10 python3.11 python3.12 python3.13; do $python pickles.py; done | sort -u > pickles.txt

What each case must be read as stands in ../pickles_of_python.rs. With the package tblib installed, `pickles.py errors`
prints errors.txt: payloads of calls that failed.
"""

import collections
import datetime as dt
import decimal
import pickle
import sys
import uuid

SHARED = [1]
ZONE = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")

CASES = {
    "none": None,
    "bools": [True, False],
    "ints": [0, 1, -1, 255, 256, -256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1],
    "longs": [2**63 - 1, -(2**63), 2**63, 2**64, 2**127 - 1, -(2**127), 2**127, -(2**127) - 1],
    "huge": [2**3000, -(2**3000)],
    "floats": [0.0, -1.5, 1e300, 5e-324, float("inf"), float("-inf")],
    "nan": float("nan"),
    "minus_zero": -0.0,
    "text": ["", "plain", "é", "€", "\U0001f600", "a\\b\nc\r\0\x1a\\u0041", "x" * 300],
    "bytes": [b"", b"plain", bytes(range(256)), b"\n\\" * 200],
    "bytearrays": [bytearray(), bytearray(b"plain"), bytearray(range(256))],
    "lists": [[], [1], [1, 2], [[]], list(range(1001))],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((),)],
    "dicts": [{}, {"a": 1}, {"a": 1, "b": 2}, {1: {2: {}}}, {(1, "x"): None}],
    "sets": [set(), {1}, {2, 1}],
    "frozensets": [frozenset(), frozenset([1]), frozenset([2, 1])],
    "shared": [SHARED, SHARED, (SHARED, SHARED)],
    "ordered_dicts": [collections.OrderedDict(), collections.OrderedDict([("b", 1), ("a", 2)])],
    "complexes": [1 + 2j, complex("-0-0.5j")],
    "decimals": [decimal.Decimal(text) for text in ("0", "-1.50", "1E+28", "NaN", "-Infinity", "sNaN12")],
    "dates": [dt.date.min, dt.date(2024, 2, 29), dt.date.max],
    "times": [dt.time(), dt.time(1, 2, 3, 4), dt.time.max, dt.time(10, 10, 10, fold=1), dt.time(1, tzinfo=dt.timezone.utc)],
    "date_times": [
        dt.datetime.min,
        dt.datetime.max,
        dt.datetime(2024, 2, 29, 1, 2, 3, 4),
        dt.datetime(2024, 12, 29, 10, fold=1),
        dt.datetime(2024, 2, 29, tzinfo=dt.timezone.utc),
        dt.datetime(2024, 2, 29, tzinfo=ZONE),
        dt.datetime(2024, 2, 29, tzinfo=dt.timezone(-dt.timedelta(hours=1, seconds=1, microseconds=1))),
    ],
    "time_deltas": [dt.timedelta(), dt.timedelta(microseconds=-1), dt.timedelta.max, dt.timedelta.min],
    "uuids": [
        uuid.UUID(int=0),
        uuid.UUID(int=5),
        uuid.UUID(int=2**127),
        uuid.UUID(int=2**128 - 1),
        uuid.UUID("00112233-4455-6677-8899-aabbccddeeff", is_safe=uuid.SafeUUID.safe),
        uuid.UUID(int=7, is_safe=uuid.SafeUUID.unsafe),
    ],
    "call": ((3, "four"), {"five": 5}),
    "result": ((3,), {}),
    "repeated": [dt.date(2024, 2, 29), dt.date(2024, 2, 29), decimal.Decimal(1), decimal.Decimal(1)],
}


def show(name, protocol, pickled):
    print(name, protocol, pickled.hex())


def pickles():
    for name, value in CASES.items():
        for protocol in range(6):
            show(name, protocol, pickle.dumps(value, protocol))
            show(name, protocol, pickle._dumps(value, protocol))  # the one written in Python


def errors():
    from tblib import pickling_support

    pickling_support.install()
    source = "def outer():\n    inner()\ndef inner():\n    raise ValueError('bad')\nouter()\n"
    try:
        exec(compile(source, "service.py", "exec"), {"__name__": "service"})
    except ValueError as error:
        traceback = error.__traceback__.tb_next
    for protocol in range(6):
        for name, last in (("traceback", traceback), ("none", None)):
            four = ["ValueError", "builtins", "bad", last]
            show(name, protocol, pickle.dumps(((four,), {}), protocol))
            show(name, protocol, pickle.dumps(((tuple(four),), {}), protocol))


if __name__ == "__main__":
    errors() if sys.argv[1:] == ["errors"] else pickles()
