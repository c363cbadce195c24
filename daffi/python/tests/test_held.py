"""What a pickle has Python hold as it is read, against what SECURITY.md says of that."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
from collections.abc import Callable

import pytest

from daffi_rs import SerdeFormat, _daffi_rs, _plain
from daffi_rs._plain import TRUSTED

#: As SECURITY.md says it: so many bytes for each of the pickle, and so many beside.
EACH, BESIDE = 80, 1 << 20
LENGTH = 200_000
WIDE = "\N{GRINNING FACE}".encode()


def text(octets: bytes) -> bytes:
    return b"X" + len(octets).to_bytes(4, "little") + octets


def made_of(name: str, arguments: bytes) -> tuple[bytes, bytes]:
    """What is made by one name again and again, of arguments that are there once."""
    module, _, made = name.rpartition(".")
    return f"c{module}\n{made}\n".encode() + b"q\x01" + arguments + b"q\x020", b"h\x01h\x02R"


KEYS = b"".join(b"K" + bytes([n]) for n in range(200))
TUPLES = b"".join(b"K" + bytes([n]) + b"\x85" for n in range(200))
PAIRS = b"".join(b"K" + bytes([n]) + b"N\x86" for n in range(200))
DIGITS = text(b"9" * 4200) + b"\x85"
CHARACTERS = text(WIDE * 1000) + b"\x85"

#: What stands first, and what is repeated.
HELD = {
    "empty lists": (b"", b"]"),
    "lists of one": (b"", b"]Na"),
    "lists of nine": (b"", b"](" + b"N" * 9 + b"e"),
    "empty dicts": (b"", b"}"),
    "dicts of one": (b"", b"}NNs"),
    "dicts of a tuple": (b"", b"})Ns"),
    "dicts of pairs": (b"", b"(NNd"),
    "dicts of six": (b"", b"}(NN\x88N)NK\x05NK\x06NK\x07Nu"),
    "empty sets": (b"", b"\x8f"),
    "sets of one": (b"", b"\x8f(N\x90"),
    "sets of five": (b"", b"\x8f(N\x88)K\x05K\x06\x90"),
    "frozensets": (b"", b"(N\x91"),
    "frozensets of a tuple": (b"", b"()\x91"),
    "frozensets of five": (b"", b"(N\x88)K\x05K\x06\x91"),
    "tuples": (b"", b"N\x85"),
    "tuples of tuples": (b"", b")\x85"),
    "tuples far within each other": (b"", b")" + b"\x85" * 200),
    "marks": (b"", b"("),
    "deques": made_of("collections.deque", b")"),
    "deques of characters": made_of("collections.deque", CHARACTERS),
    "lists of characters": made_of("__builtin__.list", CHARACTERS),
    "sets of characters": made_of("__builtin__.set", CHARACTERS),
    "ordered dicts": made_of("collections.OrderedDict", b")"),
    "ordered dicts of one": (b"ccollections\nOrderedDict\nq\x010", b"h\x01)RNNs"),
    "ordered dicts of pairs": made_of("collections.OrderedDict", b"](" + PAIRS + b"e\x85"),
    "counters": made_of("collections.Counter", b")"),
    "default dicts": made_of("collections.defaultdict", b")"),
    "sets of a list": made_of("__builtin__.set", b"](" + KEYS + b"e\x85"),
    "sets of a list of tuples": made_of("__builtin__.set", b"](" + TUPLES + b"e\x85"),
    "integers of text": made_of("__builtin__.int", DIGITS),
    "decimals": made_of("decimal.Decimal", DIGITS),
    "small decimals": made_of("decimal.Decimal", text(b"9") + b"\x85"),
    "fractions": made_of("fractions.Fraction", DIGITS),
    "ranges": made_of("__builtin__.range", b"\x8b" + (1500).to_bytes(4, "little") + b"\x7f" * 1500 + b"\x85"),
    "text of bytes": made_of(
        "__builtin__.str", b"B" + (5004).to_bytes(4, "little") + b"a" * 5000 + WIDE + text(b"utf-8") + b"\x86"
    ),
    "bytes of text": made_of("_codecs.encode", text(WIDE * 5000) + text(b"utf-8") + b"\x86"),
    "networks": made_of("ipaddress.IPv6Network", text(b"fe80::/10") + b"\x85"),
    "paths": made_of("pathlib.PurePath", text(b"a/b/c/d") + b"\x85"),
    "wide paths": made_of("pathlib.PurePath", text(b"a/" * 300 + WIDE) + b"\x85"),
    "paths of many parts": made_of("pathlib.PurePath", b"(" + text(b"a") + b"2" * 200 + b"t"),
    "short text": (b"", b"\x8c\x04" + WIDE),
    "numbers": (b"", b"M\x01\x02"),
    "what is memoized": (b"", b"N\x94"),
}


def held_by(read: Callable[[], object], length: int) -> None:
    """Reads it, or finds it refused, and looks at what was held at most."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        try:
            made = read()
        except pickle.UnpicklingError as refused:
            assert "holds more than" in str(refused)
            made = None
        held = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    del made
    assert held <= EACH * length + BESIDE, f"{(held - BESIDE) / length:.1f} bytes for each"


@pytest.mark.parametrize("kind", HELD)
def test_what_python_reads_holds_no_more_than_is_said(kind: str) -> None:
    first, unit = HELD[kind]
    # A name in front that Rust does not know has Python read the pickle.
    first = b"cpathlib\nPurePath\n0" + first
    few, many = (first + b"(" + unit * count + b"t." for count in (1, (LENGTH - len(first)) // len(unit)))
    _plain.unpickled(few if kind != "marks" else first + b"N.", TRUSTED)
    held_by(lambda: _plain.unpickled(many, TRUSTED), len(many))


@pytest.mark.parametrize("kind", [kind for kind, (first, _) in HELD.items() if not first and kind != "marks"])
def test_nor_does_what_rust_reads(kind: str) -> None:
    unit = HELD[kind][1]
    many = b"(((" + unit * (LENGTH // len(unit)) + b"tt}t."
    held_by(lambda: _daffi_rs.decode_result(SerdeFormat.PICKLE, many, False, TRUSTED), len(many))


@pytest.mark.parametrize("value", [[], {}, {None: None}, {"a": 1}, WIDE.decode(), [0], b"a"], ids=repr)
def test_nor_does_what_other_formats_carry(value: object) -> None:
    for serde in (SerdeFormat.MSGPACK, SerdeFormat.JSON):
        if serde == SerdeFormat.JSON and (value == b"a" or value == {None: None}):
            continue
        many, text = _daffi_rs.encode_result(serde, [value] * (LENGTH // 4))
        held_by(lambda many=many, serde=serde, text=text: _daffi_rs.decode_result(serde, many, text, TRUSTED), len(many))
