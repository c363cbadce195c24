"""The formats in which arguments and results travel."""

from __future__ import annotations


class SerdeFormat:
    """The formats in which arguments and results travel, by their numbers on the wire."""

    #: Bytes or text as they are: one argument.
    OPAQUE = 0
    #: What JSON holds; dataclasses and pydantic models travel as objects.
    JSON = 1
    #: Python's own types.
    PICKLE = 2
    #: Compact; holds bytes.
    MSGPACK = 3


__all__ = ["SerdeFormat"]
