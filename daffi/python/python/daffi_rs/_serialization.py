"""The formats in which arguments and results travel."""

from __future__ import annotations

from typing import Any

from . import _daffi_rs
from ._compat import is_compat
from ._plain import TRUSTED


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


class Serializer:
    """Writes and reads arguments as calls do."""

    @staticmethod
    def serialize(serde: int, *args: Any, **kwargs: Any) -> tuple[bytes | str, bool]:
        """The arguments as they travel, and whether that is bytes rather than text."""
        payload, text = _daffi_rs.encode_arguments(serde, args, kwargs)
        return (payload.decode(), False) if text else (payload, True)

    @staticmethod
    def deserialize(serde: int, data: bytes | str) -> tuple[Any, dict[str, Any]]:
        """The arguments that were written so. PICKLE names only what is trusted, but in compat mode."""
        text = isinstance(data, str)
        payload = data.encode() if isinstance(data, str) else bytes(data)
        args, kwargs = _daffi_rs.decode_arguments(serde, payload, text, "trusting" if is_compat() else TRUSTED)
        # JSON and MSGPACK have no tuples.
        return (list(args) if serde in (SerdeFormat.JSON, SerdeFormat.MSGPACK) else args), kwargs


__all__ = ["SerdeFormat", "Serializer"]
