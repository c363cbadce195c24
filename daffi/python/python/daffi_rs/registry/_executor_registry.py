"""The callbacks of this process, and who is told of further ones."""

from __future__ import annotations

import functools
import inspect
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

from ..exceptions import InitializationError


class Called:
    """What is called for a callback, and how it gives what comes of it."""

    __slots__ = ("function", "is_async", "is_async_generator", "is_generator", "is_plain", "streams")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        # A function of another loop, and one that gives results one by one, is run in another way.
        self.is_async = inspect.iscoroutinefunction(function)
        self.is_generator = inspect.isgeneratorfunction(function)
        self.is_async_generator = inspect.isasyncgenfunction(function)
        #: Whether it gives results one by one.
        self.streams = self.is_generator or self.is_async_generator
        #: Whether its arguments are handed on as they come, once that was looked at.
        self.is_plain: bool | None = None

    def calls(self, function: Any) -> bool:
        """Whether this is the function: methods are made anew each time that they are asked for."""
        known = self.function
        if type(known) is types.MethodType and type(function) is types.MethodType:
            return bool(known == function)
        return known is function


class Executor:
    """A callback under its name. `cls` is the object whose method it is, if it is one."""

    def __init__(self, func: Callable[..., Any], name: str, cls: Any = None) -> None:
        self.func = func
        self.name = name
        self.cls = cls
        other = getattr(func, "alias", None)
        #: Another name that it is exposed under.
        self.alias: str | None = other if isinstance(other, str) and other != name else None
        self._called = Called(func)

    @property
    def streams(self) -> bool:
        """Whether it gives results one by one."""
        return self._called.streams

    def called(self) -> Called:
        """What a call of now calls: tests put something else in the place of a method, on its object or its class."""
        if self.cls is None:
            function = self.func
        else:
            function = getattr(self.cls, self.name)
            if isinstance(function, functools.partial) and function.func is getattr(self.func, "func", None):
                function = self.func  # a method that is a callback by itself, too, is another object each time
        called = self._called
        if not called.calls(function):
            called = self._called = Called(function)
        return called

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.called().function(*args, **kwargs)

    def __str__(self) -> str:
        if self.cls is None:
            return repr(self.name)
        owner = self.cls if isinstance(self.cls, type) else type(self.cls)
        return repr(f"{owner.__name__}.{self.name}")

    __repr__ = __str__


class ExecutorRegistry:
    """The callbacks of this process by name. Nodes expose what is here when they start, and what is added later."""

    def __init__(self) -> None:
        self.registry: dict[str, Executor] = {}
        #: Called with the `Executor` of every further callback.
        self.subscribers: list[Callable[[Executor], Any]] = []
        self._lock = threading.RLock()

    def __iter__(self) -> Iterator[tuple[str, Executor]]:
        return iter(list(self.registry.items()))

    def __bool__(self) -> bool:
        return bool(self.registry)

    def __len__(self) -> int:
        return len(self.registry)

    def __contains__(self, name: object) -> bool:
        return name in self.registry

    def register(self, name: str, func: Callable[..., Any], cls: Any = None) -> None:
        """Exposes a callback: nodes that run are told."""
        with self._lock:
            existing = self.registry.get(name)
            if existing is not None:
                raise InitializationError(
                    f"Callback {existing} is already registered. Please use another name or set a custom alias."
                )
            executor = self.registry[name] = Executor(func, name, cls)
        self.announce(executor)

    def announce(self, executor: Executor) -> None:
        """Tells the nodes that run of a callback, or of its alias."""
        for subscriber in list(self.subscribers):
            subscriber(executor)

    def exposed(self, executor: Executor) -> Iterator[str]:
        """The names that a callback is exposed under. An alias gives way to a callback of that name."""
        yield executor.name
        if executor.alias is not None and executor.alias not in self.registry:
            yield executor.alias

    def unregister(self, name: str) -> None:
        """Forgets a callback: calls of it fail. Raises `KeyError` where there is none."""
        with self._lock:
            del self.registry[name]

    def get(self, name: str) -> Executor | None:
        """The callback of this name."""
        return self.registry.get(name)

    def current(self, name: str, exposed: Executor) -> Executor:
        """What runs a call of this name: `exposed`, or what was put in its place since."""
        found: Any = self.get(name)
        if found is None and name != exposed.name:
            found = self.get(exposed.name)
        if found is None:
            raise TypeError(f"callback {name!r} is registered no more, so there is nothing to call")
        return found if isinstance(found, Executor) else Executor(found, name)

    def after_fork(self) -> None:
        """In a child no other thread holds the lock, whatever one of the parent's did."""
        self._lock = threading.RLock()


EXECUTOR_REGISTRY = ExecutorRegistry()

__all__ = ["EXECUTOR_REGISTRY"]
