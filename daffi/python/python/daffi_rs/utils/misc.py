"""Numbers that are nobody else's, and what an object is."""

from __future__ import annotations

import types
import uuid as _uuid
from collections.abc import Iterable
from typing import Any


def uuid() -> int:
    """A random number of 32 bits."""
    return _uuid.uuid4().int >> 96


def string_uuid() -> str:
    """A random number of 32 bits, in hexadecimal: `0x3f2a1c08`."""
    return hex(uuid())


def an(word: str) -> str:
    """The word with its article: `an int`."""
    return f"{'an' if word[:1].lower() in ('a', 'e', 'i', 'o', 'u') else 'a'} {word}"


def is_lambda_function(obj: Any) -> bool:
    """Whether this is a lambda."""
    return isinstance(obj, types.FunctionType) and obj.__name__ == "<lambda>"


def iterable(obj: Any) -> bool:
    """Whether this gives items, and is no text, bytes or dict."""
    return isinstance(obj, Iterable) and not isinstance(obj, (str, bytes, dict))
