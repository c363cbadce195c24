"""Reads pickles that name classes: what they make Python hold, and do, follows their length."""

from __future__ import annotations

import _compat_pickle
import dataclasses
import enum
import io
import pickle
import sys
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from ._making import FIRST_KEY_BYTES, MAKERS, MAX_DIGITS, NAMES, SET_ITEM_BYTES, encode, keyed, reconstruct, refuse
from .utils.misc import an

# Python's own reader in Python: the one in C gives no say in what is put where.
_Unpickler: Any = pickle._Unpickler

#: So many bytes may be held, and so many for each byte of the pickle, beside what its text and numbers take: as much as
#: containers in MSGPACK come to. The reader in Rust has the same limits.
_FREE_BYTES, _BYTES_EACH = 8 << 20, 64
#: What a mark holds until it is taken away.
_MARK_BYTES = 120
#: So many steps may be taken to tell keys apart, and so many for each byte.
_FREE_STEPS, _STEPS_EACH = 1 << 16, 16
#: Keys of one hash that a dict or set may have, as in what Rust reads.
_MOST_ALIKE = 32
#: What is noted of a dict or set, of each hash in it, and of a tuple that others stand in.
_NOTED_BYTES, _HASH_BYTES, _DEPTH_BYTES = 512, 112, 240
#: What a list takes with its first item, and each item.
_LIST_BYTES, _ITEM_BYTES = 80, 9
#: Tuples within tuples: Python hashes them with no look at its stack.
_MAX_DEPTH = 256
_MAX_ZONES = 256
_GAP = object()


def _of(name: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Reads an opcode by a function of this file."""

    def kept(read: Callable[[Any], None]) -> Callable[[Any], None]:
        _DISPATCH[getattr(pickle, name)[0]] = read
        return read

    return kept


_DISPATCH: dict[int, Callable[[Any], None]] = dict(_Unpickler.dispatch)


class Reader(_Unpickler):  # type: ignore[misc]
    """Reads what is plain data, or of trusted classes; anything else is refused by its name."""

    dispatch = _DISPATCH

    def __init__(self, payload: bytes, trusted: Any) -> None:
        super().__init__(io.BytesIO(payload))
        self._trusted = trusted
        self._length = len(payload)
        self._bytes = _FREE_BYTES + _BYTES_EACH * len(payload)
        self._steps = _FREE_STEPS + _STEPS_EACH * len(payload)
        self._zones = 0
        #: How many keys of a dict or set have which hash, and how deep tuples in tuples are. Both keep what they are of.
        self._keys: dict[int, tuple[Any, dict[int, int]]] = {}
        self._depths: dict[int, tuple[Any, int]] = {}
        self.memo: list[Any] = []

    def pay(self, held: int) -> None:
        """Takes what Python is to hold from what it may."""
        self._bytes -= held
        if self._bytes < 0:
            raise refuse(
                f"of {self._length} bytes holds more than {_FREE_BYTES + _BYTES_EACH * self._length} bytes of Python, "
                f"{_BYTES_EACH} for each byte of it and {_FREE_BYTES}: send less at once, send it as MSGPACK, or give the node "
                "pickle='trusting' if everybody who can reach it may run code here"
            )

    def _step(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise refuse(
                f"of {self._length} bytes has keys that take more than {_STEPS_EACH * self._length + _FREE_STEPS} steps to "
                "tell apart: send them as text, or in a list"
            )

    def look_for_zone(self) -> None:
        """Counts a zone, which may be looked for in files."""
        self._zones += 1
        if self._zones > _MAX_ZONES:
            raise refuse(f"names more than {_MAX_ZONES} zones")

    def is_trusted(self, cls: Any) -> bool:
        """Whether it is a class that pickles may make."""
        return isinstance(cls, type) and self._trusted.get(cls.__module__, cls.__qualname__) is cls

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for."""
        # Up to protocol 2 they are those of Python 2.
        named = _compat_pickle.NAME_MAPPING.get((module, name), (_compat_pickle.IMPORT_MAPPING.get(module, module), name))
        for known in ((module, name), named):
            found = self._trusted.get(*known) or NAMES.get(known)
            if found is not None:
                return found
        raise pickle.UnpicklingError(
            f"PICKLE names {module}.{name}, which is not plain data and is not trusted here, and nothing was imported or "
            f"called: send plain data, call daffi_rs.trust({name}) on this side, or give the node pickle='trusting' if "
            "everybody who can reach it may run code here"
        )

    def persistent_load(self, _: Any) -> Any:
        """There is nothing outside."""
        raise refuse("refers to something outside of it")

    def make(self, what: Any, args: Any, kwargs: Any = None, new: bool = False) -> Any:
        """Makes an object: by a call, or by its class alone (`new`)."""
        if not isinstance(args, tuple) or not (kwargs is None or isinstance(kwargs, dict)):
            raise refuse("calls something with what are no arguments")
        if self.is_trusted(what):
            kwargs = kwargs or {}
            made = what.__new__(what, *args, **kwargs) if new else what(*args, **kwargs)
            self.pay(sys.getsizeof(made, 64) + (104 if hasattr(made, "__dict__") else 0))
            return self.nested(made) if isinstance(made, (tuple, frozenset)) else made
        may = isinstance(what, type) or what is encode or what is reconstruct
        known, make = MAKERS.get(what, (None, None)) if may else (None, None)
        if make is None or known is not what or kwargs:
            raise refuse(f"calls what is no class that it may make an instance of: a {type(what).__name__}")
        if new and what is uuid.UUID and not args:
            self.pay(64)
            return object.__new__(uuid.UUID)
        return make(self, *args)

    def _keys_of(self, made: Any) -> dict[int, int]:
        """How many keys of a dict or set have which hash."""
        known = self._keys.get(id(made))
        if known is not None:
            return known[1]
        self.pay(_NOTED_BYTES)
        alike: dict[int, int] = {}
        self._keys[id(made)] = made, alike
        if keyed(made):
            # The keys that are there were few, and nothing was noted of them.
            for key in set.__iter__(made) if isinstance(made, set) else dict.__iter__(made):
                self.check_key(key, alike)
        return alike

    def check_key(self, key: Any, alike: dict[int, int]) -> None:
        """Counts a key among those of its hash, if many can be made that have it."""
        if _is_told_apart(key):
            return
        self._weigh(key)
        same = hash(key)
        count = alike.get(same, 0) + 1
        if count == 1:
            self.pay(_HASH_BYTES)
        alike[same] = count
        if count > _MOST_ALIKE:
            raise refuse(
                f"has a dict or set with more than {_MOST_ALIKE} keys of one hash, which Python tells apart slowly; one of "
                f"them is {an(type(key).__name__)}: send such keys as text, or in a list"
            )

    def _weigh(self, key: Any) -> None:
        """Takes the steps that its hash takes: what is there twice is hashed twice."""
        left = [key]
        while left:
            value = left.pop()
            if isinstance(value, int):
                self._step(1 + (value.bit_length() >> 8))
            elif isinstance(value, (tuple, frozenset)):
                self._step(1 + len(value))
                left.extend(value)
            else:
                self._step(4)
                # What other classes do in `__hash__` they were trusted with.
                if dataclasses.is_dataclass(value) and type(value).__hash__ is not object.__hash__:
                    left.extend(getattr(value, field.name, None) for field in dataclasses.fields(value) if field.compare)

    def nested(self, made: Any) -> Any:
        """Refuses tuples and frozensets that stand too deep in each other."""
        depth = 0
        for item in made:
            if isinstance(item, (tuple, frozenset)):
                depth = max(depth, 1 + self._depths.get(id(item), (None, 0))[1])
        if depth:
            if depth >= _MAX_DEPTH:
                raise refuse(f"has tuples or sets nested more than {_MAX_DEPTH} deep")
            self.pay(_DEPTH_BYTES)
            self._depths[id(made)] = (made, depth)
        return made

    def put(self, made: Any, keys: list[Any]) -> None:
        """Looks at the keys that are put into a dict or set."""
        alike = None
        for key in keys:
            if _is_told_apart(key):
                continue
            if id(made) not in self._keys and keyed(made) and _size(made) + len(keys) <= _MOST_ALIKE:
                # So few cannot be too many of one hash.
                self._weigh(key)
                continue
            if alike is None:
                alike = self._keys_of(made)
            self.check_key(key, alike)

    def note(self, at: int) -> None:
        """Memoizes what stands on top."""
        memo = self.memo
        if at == len(memo):
            memo.append(self.stack[-1])
            return
        if not 0 <= at <= self._length:
            # An index beyond what the pickle can hold would take memory on the word of a few bytes.
            raise refuse("is broken: it memoizes more than it holds")
        memo.extend([_GAP] * (at + 1 - len(memo)))
        memo[at] = self.stack[-1]

    def recall(self, at: int) -> None:
        """Puts what was memoized on top."""
        if not 0 <= at < len(self.memo) or self.memo[at] is _GAP:
            raise refuse(f"refers to what it has not memoized: {at}")
        self.append(self.memo[at])

    def pop_mark(self) -> list[Any]:
        """What stands above the last mark, which is gone then."""
        items: list[Any] = super().pop_mark()
        self._bytes += _MARK_BYTES
        return items

    def _instantiate(self, cls: Any, args: Any) -> None:
        self.append(self.make(cls, tuple(args)))


def _is_told_apart(key: Any) -> bool:
    """Whether it is of a kind of which nobody can make many with one hash."""
    kind = type(key)
    if kind is int:
        return bool(-sys.hash_info.modulus < key < sys.hash_info.modulus)
    return kind is str or kind is bytes or kind is float or key is None or kind is bool


def _size(made: Any) -> int:
    """How many keys it has, whatever a class that is trusted says of that."""
    return set.__len__(made) if isinstance(made, set) else dict.__len__(made)


@_of("MARK")
def _mark(self: Reader) -> None:
    self.pay(_MARK_BYTES)
    self.load_mark()


@_of("EMPTY_LIST")
def _empty_list(self: Reader) -> None:
    self.pay(_LIST_BYTES)
    self.append([])


@_of("EMPTY_DICT")
def _empty_dict(self: Reader) -> None:
    self.pay(64)
    self.append({})


@_of("EMPTY_SET")
def _empty_set(self: Reader) -> None:
    self.pay(216)
    self.append(set())


@_of("LIST")
def _list(self: Reader) -> None:
    items = self.pop_mark()
    self.pay(_LIST_BYTES + _ITEM_BYTES * len(items))
    self.append(items)


@_of("TUPLE")
def _tuple(self: Reader) -> None:
    items = self.pop_mark()
    self.pay(48 + 8 * len(items))
    self.append(self.nested(tuple(items)))


def _short_tuple(length: int) -> Callable[[Reader], None]:
    def read(self: Reader) -> None:
        self.pay(48 + 8 * length)
        if len(self.stack) < length:
            raise refuse("is broken: it makes a tuple of more than there is")
        self.stack[-length:] = [self.nested(tuple(self.stack[-length:]))]

    return read


for _length, _name in enumerate(("TUPLE1", "TUPLE2", "TUPLE3"), 1):
    _of(_name)(_short_tuple(_length))


@_of("DICT")
def _dict(self: Reader) -> None:
    items = self.pop_mark()
    self.pay(64)
    made: dict[Any, Any] = {}
    _put_pairs(self, made, items)
    self.append(made)


@_of("FROZENSET")
def _frozenset(self: Reader) -> None:
    items = self.pop_mark()
    self.append(MAKERS[frozenset][1](self, items))


def _put_pairs(self: Reader, made: Any, items: list[Any]) -> None:
    if not isinstance(made, dict) and not self.is_trusted(type(made)):
        raise refuse(f"puts pairs into a {type(made).__name__}, which Python never writes")
    if len(items) % 2:
        raise refuse("is broken: a key has no value")
    if items and isinstance(made, dict) and not dict.__len__(made):
        # The first makes room for more.
        self.pay(FIRST_KEY_BYTES)
    self.pay(24 * len(items))
    self.put(made, items[::2])
    for at in range(0, len(items), 2):
        made[items[at]] = items[at + 1]


@_of("SETITEM")
def _set_item(self: Reader) -> None:
    value, key = self.stack.pop(), self.stack.pop()
    _put_pairs(self, self.stack[-1], [key, value])


@_of("SETITEMS")
def _set_items(self: Reader) -> None:
    items = self.pop_mark()
    _put_pairs(self, self.stack[-1], items)


@_of("ADDITEMS")
def _add_items(self: Reader) -> None:
    items, made = self.pop_mark(), self.stack[-1]
    if not isinstance(made, set):
        raise refuse(f"adds items to a {type(made).__name__}, which Python never writes")
    self.pay(SET_ITEM_BYTES * len(items))
    self.put(made, items)
    for item in items:
        made.add(item)


def _extend(self: Reader, made: Any, items: list[Any]) -> None:
    self.pay(_ITEM_BYTES * len(items))
    if isinstance(made, (list, deque)) or self.is_trusted(type(made)) and hasattr(made, "extend"):
        made.extend(items)
    elif self.is_trusted(type(made)):
        for item in items:
            made.append(item)
    else:
        raise refuse(f"appends to a {type(made).__name__}, which Python never writes")


@_of("APPEND")
def _append(self: Reader) -> None:
    item = self.stack.pop()
    _extend(self, self.stack[-1], [item])


@_of("APPENDS")
def _appends(self: Reader) -> None:
    items = self.pop_mark()
    _extend(self, self.stack[-1], items)


@_of("REDUCE")
def _reduce(self: Reader) -> None:
    args = self.stack.pop()
    self.stack[-1] = self.make(self.stack[-1], args)


@_of("NEWOBJ")
def _new(self: Reader) -> None:
    args = self.stack.pop()
    self.stack[-1] = self.make(self.stack[-1], args, new=True)


@_of("NEWOBJ_EX")
def _new_with_names(self: Reader) -> None:
    kwargs, args = self.stack.pop(), self.stack.pop()
    self.stack[-1] = self.make(self.stack[-1], args, kwargs, new=True)


@_of("BUILD")
def _build(self: Reader) -> None:
    # The state of a class, or of a member of an Enum, would be that of the whole process.
    made, state = self.stack[-2], self.stack[-1]
    if type(made) is uuid.UUID:
        number = state.get("int") if isinstance(state, dict) else None
        if not isinstance(number, int) or not 0 <= number < 1 << 128 or not state.keys() <= {"int", "is_safe"}:
            raise refuse("gives a UUID a state that none has")
    elif isinstance(made, (type, enum.Enum)) or not self.is_trusted(type(made)):
        raise refuse(f"gives a {type(made).__name__} a state, which Python never writes")
    if isinstance(state, dict) and state:
        self.pay(FIRST_KEY_BYTES + 48 * len(state))
    self.load_build()


@_of("INT")
def _int(self: Reader) -> None:
    line = self.readline()
    if len(line) > MAX_DIGITS:
        raise refuse(f"has a number of {len(line)} digits as text: {MAX_DIGITS} are the most")
    known = {pickle.FALSE[1:]: False, pickle.TRUE[1:]: True}.get(line)
    self.append(int(line, 0) if known is None else known)


@_of("LONG")
def _long(self: Reader) -> None:
    line = self.readline()
    if len(line) > MAX_DIGITS:
        raise refuse(f"has a number of {len(line)} digits as text: {MAX_DIGITS} are the most")
    self.append(int(line[:-1].rstrip(b"L"), 0))


@_of("BYTEARRAY8")
def _byte_array(self: Reader) -> None:
    length = int.from_bytes(self.read(8), "little")
    if length > self._length:
        raise refuse(f"is broken: it says that {length} bytes follow")
    self.pay(length)
    self.append(bytearray(self.read(length)))


@_of("MEMOIZE")
def _memoize(self: Reader) -> None:
    self.memo.append(self.stack[-1])


@_of("PUT")
def _put_text(self: Reader) -> None:
    self.note(int(self.readline()[:20]))


@_of("BINPUT")
def _put_short(self: Reader) -> None:
    self.note(self.read(1)[0])


@_of("LONG_BINPUT")
def _put_long(self: Reader) -> None:
    self.note(int.from_bytes(self.read(4), "little"))


@_of("GET")
def _get_text(self: Reader) -> None:
    self.recall(int(self.readline()[:20]))


@_of("BINGET")
def _get_short(self: Reader) -> None:
    self.recall(self.read(1)[0])


@_of("LONG_BINGET")
def _get_long(self: Reader) -> None:
    self.recall(int.from_bytes(self.read(4), "little"))


def read(payload: bytes, trusted: Any) -> Any:
    """Reads a pickle as plain data and instances of what is trusted."""
    try:
        return Reader(payload, trusted).load()
    except (AttributeError, EOFError, IndexError) as error:
        raise refuse(f"is broken: {error}") from error
