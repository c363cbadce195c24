"""Arguments that come one by one, and what the parameters of a callback say."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import logging
import sys
import typing
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
log = logging.getLogger("daffi_rs")


class Incoming(Generic[T]):
    """Arguments that the caller sends one by one: iterate over them, with `for` or `async for`.

    A parameter of a callback with this annotation takes them: `def total(numbers: Incoming[int])`. A caller that sends
    a list in their place, as one of daffi 3.0.1 does, is served, too.
    """

    def __init__(self, source: Any, policy: Any, runner: Any = None, number: int = 0, caller: str = "") -> None:
        self._items = source if hasattr(source, "take_later") else None
        self._list: Iterator[T] | None = None if self._items is not None else iter(source)
        self._policy = policy
        #: What runs the callback, the number of the call there, and who calls.
        self._runner, self._number, self._caller = runner, number, caller

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._list is not None:
            return next(self._list)
        taken = self._items.take_now(self._policy)  # type: ignore[union-attr]
        if taken is False:
            with self._lent():
                taken = self._items.take(self._policy)  # type: ignore[union-attr]
        if taken is None:
            raise StopIteration
        return typing.cast(T, taken[0])

    def _lent(self) -> contextlib.AbstractContextManager[None]:
        """While it waits for an argument a callback lets others have its worker."""
        lent = getattr(self._runner, "lent", None)
        return contextlib.nullcontext() if lent is None else lent(self._caller)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._list is not None:
            for item in self._list:
                return item
            raise StopAsyncIteration
        from .aio._port import port_of_loop

        port = port_of_loop()
        begun = self._items.take_later(port.desk)  # type: ignore[union-attr]
        if type(begun) is tuple:
            item = begun[0]
        elif hasattr(self._runner, "lent_by"):
            async with self._runner.lent_by(self._number):
                item = await port.wait(begun)
        else:
            with self._lent():
                item = await port.wait(begun)
        if item is None:
            raise StopAsyncIteration
        return typing.cast(T, item.read(self._policy))

    def close(self) -> None:
        """Tells the caller to send no more."""
        if self._items is not None:
            self._items.close()


Convert = Callable[[Any], Any]


def _annotations(where: Any, names: dict[str, Any], given: Any) -> dict[str, Any]:
    """The annotations that stand for something. Any text may be one, and what it says may fail in any way."""

    def one() -> None: ...

    found = {}
    for name, hint in dict(given).items():
        one.__annotations__ = {name: hint}
        try:
            found[name] = typing.get_type_hints(one, names)[name]
        except Exception as error:
            log.debug("the annotation of %s in %r is passed over: %s", name, where, error)
    return found


def _hints_of(function: Any) -> dict[str, Any]:
    function = getattr(function, "func", function)
    try:
        return typing.get_type_hints(function)
    except Exception:
        inner = inspect.unwrap(function)
        names = getattr(inner, "__globals__", getattr(getattr(inner, "__func__", None), "__globals__", {}))
        return _annotations(function, names, getattr(function, "__annotations__", {}))


@functools.lru_cache(maxsize=1024)
def _fields_of(cls: Any) -> dict[str, Convert]:
    """What makes models for fields of a dataclass."""
    try:
        hints = typing.get_type_hints(cls)
    except Exception:
        hints = {}
        for base in reversed(cls.__mro__):
            names = vars(sys.modules.get(base.__module__, typing))
            hints.update(_annotations(cls, names, base.__dict__.get("__annotations__", {})))
    return {name: convert for name, hint in hints.items() if (convert := converter(hint)) is not None}


@functools.lru_cache(maxsize=4096)
def _hints(function: Any) -> tuple[tuple[str, ...], dict[str, Convert], str | None]:
    """The names of the parameters, what makes models of plain data for them, and the one that takes items."""
    converts, items = {}, None
    try:
        parameters = tuple(inspect.signature(function).parameters)
        hints = _hints_of(function)
        for name in parameters:
            hint = hints.get(name)
            if typing.get_origin(hint) is Incoming or hint is Incoming:
                items = name
            elif (convert := converter(hint)) is not None:
                converts[name] = convert
    except Exception as error:
        # What a callback says of its arguments never keeps it from being called.
        log.debug("what %r says of its parameters is passed over: %s", function, error)
        return (), {}, None
    return parameters, converts, items


def parameters(function: Any) -> tuple[tuple[str, ...], dict[str, Convert], str | None]:
    """The names of the parameters, what makes models of plain data for them, and the one that takes items."""
    try:
        return _hints(function)
    except TypeError:  # what cannot be hashed is looked at each time
        return _hints.__wrapped__(function)


def converter(hint: Any) -> Convert | None:
    """What makes a model of plain data, for a hint that names one: a dataclass, a pydantic model, or containers of them."""
    if hint is None or hint is Any:
        return None
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        if dataclasses.is_dataclass(hint):
            return functools.partial(_dataclass, hint)
        validate = getattr(hint, "model_validate", None)
        return functools.partial(_model, hint, validate) if validate is not None else None
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union or type(hint).__name__ == "UnionType":
        found = [convert for convert in map(converter, inner) if convert is not None]
        return _optional(found[0]) if len(found) == 1 else None
    if origin in (list, tuple, set, frozenset) and inner:
        each = converter(inner[0])
        return _each(origin, each) if each is not None else None
    if origin is dict and len(inner) == 2:
        each = converter(inner[1])
        return _values(each) if each is not None else None
    return None


def _dataclass(cls: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    converts = _fields_of(cls)
    return cls(**{name: converts[name](field) if name in converts else field for name, field in value.items()})


def _model(cls: Any, validate: Convert, value: Any) -> Any:
    return value if isinstance(value, cls) else validate(value)


def _optional(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _each(origin: Any, convert: Convert) -> Convert:
    def all_of(values: Any) -> Any:
        return origin(convert(value) for value in values) if isinstance(values, Iterable) else values

    return all_of


def _values(convert: Convert) -> Convert:
    return lambda value: {key: convert(field) for key, field in value.items()} if isinstance(value, dict) else value


def is_plain(called: Any) -> bool:
    """Whether a callback takes its arguments as they come."""
    if called.is_plain is None:
        called.is_plain = parameters(called.function)[1:] == ({}, None)
    return bool(called.is_plain)


def bound(function: Any, args: Any, kwargs: Any, job: Any, runner: Any) -> tuple[Any, Any]:
    """The arguments as the callback takes them: models made, and those that come one by one."""
    names, converts, items = parameters(function)
    if items is not None:
        source, policy = job.items(), runner.policy
        if source is not None:
            kwargs[items] = Incoming(source, policy, runner, job.number, job.caller)
        elif items in kwargs:
            kwargs[items] = Incoming(kwargs[items], policy)
        elif (at := names.index(items)) < len(args):
            args = (*args[:at], Incoming(args[at], policy), *args[at + 1 :])
    if converts and job.serde in (1, 3):
        args = tuple(
            converts[name](value) if name in converts else value for name, value in zip(_names(names, args), args)
        )
        kwargs = {name: converts[name](value) if name in converts else value for name, value in kwargs.items()}
    return args, kwargs


def _names(names: tuple[str, ...], args: Any) -> Iterator[str]:
    yield from names
    yield from ("" for _ in args)
