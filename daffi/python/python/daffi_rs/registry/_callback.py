"""Exposes functions and classes."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..exceptions import InitializationError
from ..utils.misc import is_lambda_function
from ._executor_registry import EXECUTOR_REGISTRY

F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger("daffi_rs")


class NotExposable(InitializationError, AttributeError):
    """What was given cannot be a callback: an `AttributeError`, as in 3.0.1, too."""


def _named(function: Any) -> str:
    name = getattr(function, "__name__", None)
    if name is None:
        raise NotExposable(
            f"{function!r} cannot be a callback: a function, a method of an object, or a class is expected"
        )
    return str(name)


def _is_private(name: str, function: Any) -> bool:
    """Whether a function keeps out of what is exposed: by its name, or by `@local`."""
    return name.startswith("_") or hasattr(function, "local")


def _refuse_lambda(name: str, function: Any) -> None:
    if is_lambda_function(function):
        raise InitializationError(f"Not supported. {name!r} is a lambda, which has no name of its own: use a named function instead.")


def _methods(instance: Any) -> list[tuple[str, Any]]:
    """The public methods of an object that are not local, in the order of their names."""
    found = []
    for name in sorted(dir(instance)):
        if name.startswith("_") or isinstance(inspect.getattr_static(instance, name, None), property):
            continue
        method = getattr(instance, name)
        if isinstance(method, _Exposed):
            method = functools.partial(method.func, instance)
        elif not (inspect.ismethod(method) or inspect.isfunction(method)):
            continue
        if not _is_private(name, method):
            _refuse_lambda(name, method)
            found.append((name, method))
    return found


class _Exposed:
    """Exposes a function, a method of an object, or the public methods of a class.

    What begins with `_` or is marked `@local` is not exposed, unless a function is given a `name`. `@callback` on a
    class makes one instance, by calling it without arguments, and exposes its public methods. An object whose class
    takes arguments is exposed as it is: `callback(TextProcessor("-"))`. What is decorated stays callable as itself.

    A generator function, plain or async, gives its results one by one. An async function runs on the event loop of an
    `AsyncService` or `AsyncClient`, and on a loop of the worker's thread in other nodes.
    """

    func: Any

    def __new__(cls, func_or_class: Any = None, *, name: str | None = None) -> Any:
        if func_or_class is None:
            return functools.partial(cls, name=name)
        return super().__new__(cls)

    def __init__(self, func_or_class: Any, *, name: str | None = None) -> None:
        self.func = func_or_class
        self._names: list[str] = []
        if isinstance(func_or_class, _Exposed):
            raise InitializationError(
                f"Callback {_named(func_or_class)!r} is already registered. Please use another name or set a custom alias."
            )
        if inspect.isclass(func_or_class):
            self._expose_methods(func_or_class())
            if not self._names:
                log.warning("%s has no public methods, so nothing of it is exposed", func_or_class.__name__)
        elif getattr(func_or_class, "__name__", None) is None and not isinstance(func_or_class, functools.partial):
            self._expose_methods(func_or_class)
            if not self._names:
                raise NotExposable(f"{func_or_class!r} cannot be a callback: it has no public methods")
        else:
            own = name or _named(func_or_class)
            if name is not None or not _is_private(own, func_or_class):
                _refuse_lambda(own, func_or_class)
                self._expose(own, func_or_class, None)
        if inspect.isroutine(func_or_class) or inspect.isclass(func_or_class):
            functools.update_wrapper(self, func_or_class, updated=())

    def _expose_methods(self, instance: Any) -> None:
        self._instance = instance
        for name, method in _methods(instance):
            self._expose(name, method, instance)

    def _expose(self, name: str, function: Any, cls: Any) -> None:
        EXECUTOR_REGISTRY.register(name, function, cls)
        self._names.append(name)

    def _add_alias(self, value: str) -> None:
        for name in self._names:
            executor = EXECUTOR_REGISTRY.get(name)
            if executor is not None and executor.func is self.func:
                executor.alias = value
                EXECUTOR_REGISTRY.announce(executor)

    @property
    def _func_or_class(self) -> Any:
        """What was decorated."""
        return self.func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A method that was decorated by itself is one of its objects, too."""
        return self if instance is None else functools.partial(self.func, instance)

    def __getattr__(self, name: str) -> Any:
        if name == "func" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.func, name)

    def __reduce__(self) -> Any:
        # As a function is, by its name, where that leads here.
        name = getattr(self.func, "__qualname__", "")
        if _by_name(getattr(self.func, "__module__", None), name) is self:
            return name
        return _blank, (type(self),), self.__dict__

    def __repr__(self) -> str:
        return f"<callback {', '.join(self._names) or self.func!r}>"


def _by_name(module: str | None, name: str) -> Any:
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _blank(made: type[_Exposed]) -> Any:
    """A callback object that is to be a copy of another: it exposes nothing anew."""
    return object.__new__(made)


if TYPE_CHECKING:
    # What is decorated keeps its type: it is called, and instantiated, as before.

    @overload
    def callback(func_or_class: F, *, name: str | None = None) -> F: ...
    @overload
    def callback(func_or_class: None = None, *, name: str | None = None) -> Callable[[F], F]: ...
    def callback(func_or_class: Any = None, *, name: str | None = None) -> Any:
        """Exposes a function, a method of an object, or the public methods of a class."""

else:
    _Exposed.__name__ = _Exposed.__qualname__ = "callback"
    callback = _Exposed


__all__ = ["callback"]
