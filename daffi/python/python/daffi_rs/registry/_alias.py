"""Names for callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..utils.misc import an

F = TypeVar("F", bound=Callable[..., Any])


def alias(value: str) -> Callable[[F], F]:
    """Exposes a callback under this name, beside its own. Stands above or below `@callback`."""
    if not isinstance(value, str):
        raise ValueError(f"Alias must be string, and {value!r} is {an(type(value).__name__)}")

    def named(function: F) -> F:
        function.alias = value  # type: ignore[attr-defined]
        added = getattr(function, "_add_alias", None)
        if added is not None:
            added(value)
        return function

    return named
