"""The callbacks of this process, and who is told of further ones."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ..exceptions import InitializationError


class Executor(str):
    """A callback under its name."""

    func: Callable[..., Any]
    name: str
    cls: type | None

    def __new__(cls, func: Callable[..., Any], name: str, owner: type | None = None) -> Executor:
        executor = super().__new__(cls, name if owner is None else f"{owner.__name__}.{name}")
        executor.func, executor.name, executor.cls = func, name, owner
        # A function of another loop, and one that gives results one by one, is run in another way.
        executor.is_async = inspect.iscoroutinefunction(func)
        executor.is_generator = inspect.isgeneratorfunction(func)
        executor.is_async_generator = inspect.isasyncgenfunction(func)
        executor.streams = executor.is_generator or executor.is_async_generator
        executor.is_plain = None
        return executor

    is_async: bool
    is_generator: bool
    is_async_generator: bool
    #: Whether it gives results one by one.
    streams: bool
    #: Whether its arguments are handed on as they come, once that was looked at.
    is_plain: bool | None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)


class ExecutorRegistry:
    """The callbacks of this process by name. Nodes expose what is here when they start, and what is added later."""

    def __init__(self) -> None:
        self.registry: dict[str, Executor] = {}
        #: Called with every further callback: `added(name, executor)`.
        self.subscribers: list[Any] = []
        self._lock = threading.RLock()

    def __iter__(self) -> Iterator[tuple[str, Executor]]:
        return iter(list(self.registry.items()))

    def __bool__(self) -> bool:
        return bool(self.registry)

    def __len__(self) -> int:
        return len(self.registry)

    def __contains__(self, name: object) -> bool:
        return name in self.registry

    def register(self, name: str, func: Callable[..., Any], cls: type | None = None) -> None:
        """Exposes a callback: nodes that run are told."""
        with self._lock:
            if name in self.registry:
                raise InitializationError(
                    f"a callback {name!r} is already registered: give one of them another name, by its function or by alias"
                )
            executor = self.registry[name] = Executor(func, name, cls)
            subscribers = list(self.subscribers)
        for subscriber in subscribers:
            subscriber(name, executor)

    def unregister(self, name: str) -> None:
        """Forgets a callback; nodes that run go on to expose it."""
        with self._lock:
            self.registry.pop(name, None)

    def get(self, name: str) -> Executor | None:
        """The callback of this name."""
        return self.registry.get(name)


EXECUTOR_REGISTRY = ExecutorRegistry()

__all__ = ["EXECUTOR_REGISTRY"]
