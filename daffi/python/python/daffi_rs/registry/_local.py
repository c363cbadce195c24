"""Methods that are not exposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


@overload
def local(fn: F) -> F: ...
@overload
def local(fn: None = None) -> Callable[[F], F]: ...
def local(fn: Any = None) -> Any:
    """Keeps a public method of a class of callbacks out of what is exposed. Works with and without parentheses."""
    if fn is None:
        return local
    fn.local = True
    return fn
