"""The callbacks of this process, and who is told of further ones."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ..exceptions import InitializationError


class Executor:
    """A callback under its name. `cls` is the object whose method it is, if it is one."""

    def __init__(self, func: Callable[..., Any], name: str, cls: Any = None) -> None:
        self.func = func
        self.name = name
        self.cls = cls
        other = getattr(func, "alias", None)
        #: Another name that it is exposed under.
        self.alias: str | None = other if isinstance(other, str) and other != name else None
        # A function of another loop, and one that gives results one by one, is run in another way.
        self.is_async = inspect.iscoroutinefunction(func)
        self.is_generator = inspect.isgeneratorfunction(func)
        self.is_async_generator = inspect.isasyncgenfunction(func)
        #: Whether it gives results one by one.
        self.streams = self.is_generator or self.is_async_generator
        #: Whether its arguments are handed on as they come, once that was looked at.
        self.is_plain: bool | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # What took the method's place on its object since is called, too.
        function = self.func if self.cls is None else getattr(self.cls, self.name, self.func)
        return function(*args, **kwargs)

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
                    f"Callback {existing} is already registered: give one of the two another name"
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
        """Forgets a callback; nodes that run go on to expose it."""
        with self._lock:
            self.registry.pop(name, None)

    def get(self, name: str) -> Executor | None:
        """The callback of this name."""
        return self.registry.get(name)


EXECUTOR_REGISTRY = ExecutorRegistry()

__all__ = ["EXECUTOR_REGISTRY"]
