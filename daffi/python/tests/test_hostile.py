"""Payloads that would keep Python busy if they were read as they ask for it."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import pickle
import typing
import uuid

import pytest

from daffi_rs import SerdeFormat, _daffi_rs, _plain, trust
from daffi_rs._plain import TRUSTED

MODULUS = 2**61 - 1
KEYS = 70_000


def read(value: bytes) -> object:
    return _daffi_rs.decode_result(SerdeFormat.PICKLE, b"((" + value + b"t}t.", False, TRUSTED)


def long(number: int) -> bytes:
    octets = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(octets)]) + octets


def paired(first: int) -> bytes:
    """A tuple with the hash of all others that are made here."""
    return b"K\x01" + long(first * MODULUS) + b"\x86"


ALIKE = {
    "integers": [long(n * MODULUS) for n in range(1, KEYS)],
    "tuples": [paired(n) for n in range(1, KEYS)],
    "tuples of tuples": [paired(n) + b"\x85" for n in range(1, KEYS)],
    "sets": [b"(" + long(n * MODULUS) + b"\x91" for n in range(1, KEYS)],
}


@pytest.mark.parametrize("kind", ALIKE)
def test_keys_that_python_tells_apart_slowly_are_refused(kind: str) -> None:
    keys = ALIKE[kind]
    for value in (
        b"}(" + b"".join(key + b"N" for key in keys) + b"u",
        b"\x8f(" + b"".join(keys) + b"\x90",
        b"(" + b"".join(keys) + b"\x91",
    ):
        with pytest.raises(ValueError, match="more than 32 keys of one hash"):
            read(value)


def test_keys_of_honest_people_are_read() -> None:
    keys = [*range(-1000, 1000), *(2**70 + n for n in range(1000)), *((n, -n) for n in range(1000))]
    for made in (dict.fromkeys(keys), set(keys), frozenset(keys), {uuid.uuid4(): n for n in range(1000)}):
        payload, text = _daffi_rs.encode_result(SerdeFormat.PICKLE, made)
        assert _daffi_rs.decode_result(SerdeFormat.PICKLE, payload, text, TRUSTED) == made


#: A name in front that Rust does not know has Python read the pickle.
NAMED = b"cpathlib\nPurePath\n0"


@pytest.mark.parametrize("kind", ALIKE)
def test_so_are_they_beside_what_python_reads(kind: str) -> None:
    keys = ALIKE[kind]
    for value in (
        b"}(" + b"".join(key + b"N" for key in keys) + b"u",
        b"}" + b"".join(key + b"Ns" for key in keys),
        b"(" + b"".join(key + b"N" for key in keys) + b"d",
        b"\x8f(" + b"".join(keys) + b"\x90",
        b"(" + b"".join(keys) + b"\x91",
        b"c__builtin__\nset\n(](" + b"".join(keys) + b"etR",
        b"ccollections\nCounter\n(](" + b"".join(keys) + b"etR",
        b"ccollections\nOrderedDict\n(](" + b"".join(b"(" + key + b"Nt" for key in keys) + b"etR",
        b"ccollections\nOrderedDict\n)R(" + b"".join(key + b"N" for key in keys) + b"u",
    ):
        with pytest.raises(pickle.UnpicklingError, match="more than 32 keys of one hash"):
            read(NAMED + value)


TEXT = {
    "decimals": ("cdecimal\nDecimal\n", lambda n: str(n * MODULUS)),
    "fractions": ("cfractions\nFraction\n", lambda n: f"{n * MODULUS}/1"),
}


@pytest.mark.parametrize("kind", TEXT)
def test_so_are_numbers_that_are_made_of_text(kind: str) -> None:
    name, text = TEXT[kind]
    keys = (name.encode() + b"(V" + text(n).encode() + b"\ntRN" for n in range(1, 1000))
    with pytest.raises(pickle.UnpicklingError, match="more than 32 keys of one hash"):
        read(NAMED + b"}(" + b"".join(keys) + b"u")
    keys = (b"cuuid\nUUID\n)\x81}(X\x03\x00\x00\x00int" + long(n * MODULUS) + b"ubN" for n in range(1, 1000))
    with pytest.raises(pickle.UnpicklingError, match="more than 32 keys of one hash"):
        read(NAMED + b"}(" + b"".join(keys) + b"u")


COPIES = [b"c__builtin__\nlist\n", b"c__builtin__\nset\n", b"ccollections\ndeque\n", b"c__builtin__\ntuple\n"]


@pytest.mark.parametrize("name", [*COPIES, b"c__builtin__\nbytearray\n", b"ccollections\nCounter\n"])
def test_what_a_pickle_holds_follows_its_length(name: bytes) -> None:
    many = 200_000
    what = b"(" + b"".join(b"M" + (n % 65536).to_bytes(2, "little") for n in range(many)) + b"lp1\n0"
    if name.endswith(b"bytearray\n"):
        what = b"B" + many.to_bytes(4, "little") + bytes(many) + b"p1\n0"
    copies = b"".join(b"h\x02h\x01\x85R" for _ in range(300))
    with pytest.raises(pickle.UnpicklingError, match="holds more than"):
        read(NAMED + what + name + b"q\x020" + b"](" + copies + b"e")


HELD = {
    "empty sets": b"](" + b"\x8f" * 1_000_000 + b"e",
    "marks": b"(" * 1_000_000 + b"N",
    "empty deques": b"ccollections\ndeque\nq\x010](" + b"h\x01)R" * 100_000 + b"e",
    "paths": b"cpathlib\nPurePath\nq\x010V" + b"x" * 50_000 + b"\n(" + b"2" * 9 + b"tq\x020](" + b"h\x01h\x02R" * 10_000 + b"e",
    "text of a list": b"c__builtin__\nstr\n]\x85R",
    "a list in itself": b"]2N\x85e",
    "a slice of a list": b"](NNNe2q\x01c__builtin__\nslice\n(NNtRh\x01s",
    "a bytearray that is not there": b"\x96" + (1 << 40).to_bytes(8, "little"),
    "a long number": b"I" + b"9" * 5000 + b"\n",
    "a longer number": b"L" + b"9" * 5000 + b"L\n",
    "a number of text": b"c__builtin__\nint\n(V" + b"9" * 5000 + b"\ntR",
    "a fraction with an exponent": b"cfractions\nFraction\n(V1e1000000000\ntR",
    "a range as a list": b"c__builtin__\nlist\n(c__builtin__\nrange\n(K\x01L999999999999L\ntRtR",
    "no pairs": b"c__builtin__\ndict\n](Vab\net\x85R",
    "a far place": b"Nr\xff\xff\xff\x7f",
    "nothing there": b"h\x05",
    "a factory that trades": b"ccollections\ndefaultdict\nc__builtin__\nrange\n\x85R",
}


@pytest.mark.parametrize("kind", HELD)
def test_what_python_would_not_bear_is_refused(kind: str) -> None:
    with pytest.raises(pickle.UnpicklingError):
        read(NAMED + HELD[kind])


def test_tuples_that_are_hashed_end_no_process_and_take_no_minutes() -> None:
    deep = b")" + b"\x85" * 10_000
    with pytest.raises(pickle.UnpicklingError, match="nested more than 256 deep"):
        read(NAMED + b"}" + deep + b"Ns")
    with pytest.raises(pickle.UnpicklingError, match="nested more than 256 deep"):
        read(NAMED + deep)
    # Each is a pair of the one before, so hashing the last takes 2**100 steps.
    doubled = b")" + b"2\x86" * 100
    with pytest.raises(pickle.UnpicklingError, match="keys that take more than"):
        read(NAMED + b"}" + doubled + b"Ns")
    large = b"\x8b" + (125_000).to_bytes(4, "little") + b"\x7f" * 125_000
    with pytest.raises(pickle.UnpicklingError, match="keys that take more than"):
        read(NAMED + b"}" + large + b"q\x010(" + b"h\x01" * 60_000 + b"tNs")


@pytest.mark.parametrize("shape", ["[NaN]", '{"args": [NaN], "kwargs": [1]}', '{"args": "NaN", "kwargs": {}}', '{"args": [NaN]}', "NaN"])
def test_json_that_python_reads_and_is_no_call_says_so(shape: str) -> None:
    for policy in (TRUSTED, "trusting"):
        with pytest.raises(TypeError, match="was expected"):
            _daffi_rs.decode_arguments(SerdeFormat.JSON, shape.encode(), True, policy)


class Open:
    """A class that is trusted."""


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    "what",
    [
        b"cfractions\nFraction\n",
        b"cpathlib\nPurePath\n",
        b"ccollections\nOrderedDict\n",
        b"ctest_hostile\nOpen\n",
        b"ctest_hostile\nColour\nK\x01\x85R",
        b"cuuid\nSafeUUID\nK\x00\x85R",
        b"ccollections\ndeque\n)R",
    ],
)
def test_classes_and_members_of_enums_get_no_state(what: bytes) -> None:
    trust(Open)
    trust(Colour)
    for state in (b"}Vname\nK\x01s", b"N}Vname\nK\x01s\x86"):
        with pytest.raises(pickle.UnpicklingError, match="gives a"):
            read(NAMED + what + state + b"b")
    assert not hasattr(fractions.Fraction, "name") and not hasattr(Colour.RED, "name_")


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: tuple[int, ...] = ()


class Row(typing.NamedTuple):
    name: str
    points: list[Point]


class Bag(dict):  # type: ignore[type-arg]
    pass


HONEST = [
    collections.deque([1, 2, 3], 5),
    collections.Counter("abracadabra"),
    collections.defaultdict(list, {"a": [1]}),
    collections.OrderedDict([("a", 1), ("b", collections.deque())]),
    fractions.Fraction(355, 113),
    decimal.Decimal("1e-5"),
    ipaddress.ip_address("::1"),
    ipaddress.ip_network("10.0.0.0/8"),
    pathlib.PurePosixPath("/a/b"),
    range(3, 9),
    uuid.uuid4(),
    {Point(1, (2, 3)): Row("r", [Point(4)])},
    [Point(n) for n in range(5000)],
    {Point(n): collections.deque([n]) for n in range(3000)},
    Bag(a=1),
    Colour.RED,
    {(n, (n, "text")): {n} for n in range(3000)},
    [datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=1))), pathlib.Path("x")],
    bytearray(b"abc"),
    2**5000,
    [2**63 + n for n in range(1000)],
    LookupError("words", 1),
]


@pytest.mark.parametrize("protocol", range(6))
def test_what_honest_people_send_is_read(protocol: int) -> None:
    for cls in (Point, Row, Bag, Colour, LookupError):
        trust(cls)
    for value in HONEST:
        got = _plain.unpickled(pickle.dumps((pathlib.PurePath(), value), protocol), TRUSTED)[1]
        assert type(got) is type(value)
        assert got == value or isinstance(value, LookupError) and got.args == value.args
    # As Python 3.13 names it.
    assert read(b"cpathlib._local\nPurePath\nVa\n\x85R") == pathlib.PurePath("a")
    shared = [1]
    got = _plain.unpickled(pickle.dumps([shared, shared], protocol), TRUSTED)
    assert got[0] is got[1]
