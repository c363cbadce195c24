"""The formats in which arguments and results travel, under the name that the pages of daffi 3.0.1 have for it."""

from ._serialization import SerdeFormat, Serializer

__all__ = ["SerdeFormat", "Serializer"]
