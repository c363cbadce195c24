"""The version of the package."""

from . import _daffi_rs

__version__: str = _daffi_rs.__version__
