"""What a pickle has Python hold as it is read, against what SECURITY.md says of that."""

from __future__ import annotations

import datetime
import decimal
import gc
import pickle
import tracemalloc
from collections import deque
from collections.abc import Callable

import pytest

from daffi_rs import SerdeFormat, _daffi_rs, _making, _plain, _reading
from daffi_rs._plain import TRUSTED

#: As SECURITY.md says it: so many bytes for each of the pickle, and so many beside.
EACH, BESIDE = 80, 8 << 20
#: What Python reads is so long, and has so many bytes beside: few, so that what is held of few bytes shows.
LENGTH, FREE = 25_000, 1 << 17
#: What is beside hides nothing of so many.
LONG = 1_000_000
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


#: Keys that a pickle makes of a name, and of what.
OBJECTS = {
    **{f"pathlib.{name}": text(b"ab/cd\\ef/" * 400) + b"\x85" for name in ("PurePath", "PurePosixPath", "PureWindowsPath")},
    **{f"pathlib.{name}": text(b"ab/" * 400 + WIDE) + b"\x85" for name in ("Path", "PosixPath")},
    "__builtin__.frozenset": b"](" + TUPLES + b"e\x85",
    "__builtin__.tuple": b"](" + TUPLES + b"e\x85",
    "__builtin__.bytes": b"](" + KEYS + b"e\x85",
    "__builtin__.str": b"B" + (5004).to_bytes(4, "little") + b"a" * 5000 + WIDE + text(b"utf-8") + b"\x86",
    "__builtin__.bool": b"\x88\x85",
    "__builtin__.object": b")",
    "__builtin__.int": DIGITS,
    "__builtin__.float": text(b"1.5") + b"\x85",
    "__builtin__.complex": text(b"1.5j") + b"\x85",
    "__builtin__.range": b"\x8b" + (1500).to_bytes(4, "little") + b"\x7f" * 1500 + b"\x85",
    "_codecs.encode": text(WIDE * 5000) + text(b"utf-8") + b"\x86",
    "datetime.date": b"M\xd0\x07K\x01K\x01\x87",
    "datetime.datetime": b"(M\xd0\x07K\x01K\x01K\x05t",
    "datetime.time": b"K\x01K\x02\x86",
    "datetime.timedelta": b"K\x01K\x02\x86",
    "datetime.timezone": b"cdatetime\ntimedelta\nK\x00K\x02\x86R\x85",
    "decimal.Decimal": DIGITS,
    "fractions.Fraction": DIGITS,
    "ipaddress.IPv4Address": text(b"10.0.0.1") + b"\x85",
    "ipaddress.IPv4Network": text(b"10.0.0.0/8") + b"\x85",
    "ipaddress.IPv6Address": text(b"fe80::1") + b"\x85",
    "ipaddress.IPv6Network": text(b"fe80::/10") + b"\x85",
    "uuid.UUID": text(b"1" * 32) + b"\x85",
    "uuid.SafeUUID": b"K\x00\x85",
    "zoneinfo.ZoneInfo": text(b"Europe/Berlin") + b"\x85",
}
#: Those that are no keys.
NO_KEYS = {
    "builtins": {"list", "set", "dict", "bytearray", "slice"},
    "collections": {"OrderedDict", "Counter", "deque", "defaultdict"},
}


@pytest.fixture(autouse=True)
def _little_is_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading, "_FREE_BYTES", FREE)


def held_by(read: Callable[[], object], length: int, beside: int = FREE) -> None:
    """Reads it, or finds it refused, and looks at what was held at most."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        try:
            made = read()
        except pickle.UnpicklingError as refused:
            assert "more than" in str(refused)
            made = None
        held = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    del made
    assert held <= EACH * length + beside, f"{(held - beside) / length:.1f} bytes for each"


@pytest.mark.parametrize("kind", HELD)
def test_what_python_reads_holds_no_more_than_is_said(kind: str) -> None:
    first, unit = HELD[kind]
    # A name in front that Rust does not know has Python read the pickle.
    first = b"cpathlib\nPurePath\n0" + first
    few, many = (first + b"(" + unit * count + b"t." for count in (1, (LENGTH - len(first)) // len(unit)))
    _plain.unpickled(few if kind != "marks" else first + b"N.", TRUSTED)
    held_by(lambda: _plain.unpickled(many, TRUSTED), len(many))


@pytest.mark.parametrize("name", OBJECTS)
def test_nor_do_keys(name: str) -> None:
    first, unit = made_of(name, OBJECTS[name])
    # Each is one of a dict of its own, and both stay.
    few, many = (first + b"(" + (b"}" + unit + b"Ns") * count + b"t." for count in (1, (LENGTH - len(first)) // (len(unit) + 3)))
    try:
        _plain.unpickled(few, TRUSTED)
    except ValueError as error:
        pytest.skip(f"not here: {error}")
    held_by(lambda: _plain.unpickled(many, TRUSTED), len(many))


def test_all_kinds_are_tried_as_keys() -> None:
    tried = {tuple(name.replace("__builtin__", "builtins").rsplit(".", 1)) for name in OBJECTS}
    # An instance of a class is made of one of these.
    tried |= {("copyreg", "_reconstructor")} | {(module, name) for module, names in NO_KEYS.items() for name in names}
    assert {named for named in _making.NAMES if named[0] != "pathlib._local"} == tried


#: What Rust reads is mixed: some bytes that are much, and others that make room for them.
MIXES = {kind: unit for kind, (first, unit) in HELD.items() if not first and kind != "marks"}
MIXES.update(
    {
        "sets and dicts": b"\x8f" * 5 + b"}" * 12,
        "sets and lists": b"\x8f" * 4 + b"]" * 14,
        "sets and numbers": b"\x8f" * 2 + b"M\x01\x02" * 2,
        "sets and dicts of one": b"\x8f" + b"}NNs",
        "sets of five and frozensets of five": b"\x8f(N\x88)K\x05K\x06\x90" + b"(N\x88)K\x05K\x06\x91" * 9,
        "empty frozensets": b"(\x91",
        "empty frozensets and dicts": b"(\x91" + b"}" * 5,
        "frozensets of one and text": b"(N\x91" * 4 + b"\x8c\x04" + WIDE,
        "dicts of eleven": b"}(" + b"".join(b"K" + bytes([n]) + b"N" for n in range(11)) + b"u",
    }
)


@pytest.mark.parametrize("kind", MIXES)
def test_nor_does_what_rust_reads(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def leaves_it_to_python(*_: object) -> None:
        raise pickle.UnpicklingError("more than Rust makes of it")

    monkeypatch.setattr(_reading, "read", leaves_it_to_python)
    unit = MIXES[kind]
    many = b"(((" + unit * (LONG // len(unit)) + b"tt}t."
    held_by(lambda: _daffi_rs.decode_result(SerdeFormat.PICKLE, many, False, TRUSTED), len(many), BESIDE)


@pytest.mark.parametrize(
    "value",
    [
        [set() for _ in range(12_000)],
        {i: deque([i]) for i in range(20_000)},
        [frozenset([i]) for i in range(200_000)] + [datetime.date(2000, 1, 1), decimal.Decimal(1)],
        [{} for _ in range(100_000)],
    ],
    ids=["empty sets", "deques", "frozensets", "empty dicts"],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_honest_programs_send_is_read(monkeypatch: pytest.MonkeyPatch, protocol: int, value: object) -> None:
    monkeypatch.undo()
    payload = pickle.dumps(((value,), {}), protocol)
    assert _daffi_rs.decode_result(SerdeFormat.PICKLE, payload, False, TRUSTED) == value


@pytest.mark.parametrize("value", [[], {}, {None: None}, {"a": 1}, WIDE.decode(), [0], b"a"], ids=repr)
def test_nor_does_what_other_formats_carry(value: object) -> None:
    for serde in (SerdeFormat.MSGPACK, SerdeFormat.JSON):
        if serde == SerdeFormat.JSON and (value == b"a" or value == {None: None}):
            continue
        many, text = _daffi_rs.encode_result(serde, [value] * (LENGTH // 4))
        held_by(lambda many=many, serde=serde, text=text: _daffi_rs.decode_result(serde, many, text, TRUSTED), len(many))
