"""Remote procedure calls without ceremony: the interface of the Python library daffi on an engine in Rust.

A `Service` exposes callbacks, a `Client` calls them, a `Router` joins clients that call each other. Nodes of daffi 3.0.1
and of this package form one network.
"""

from __future__ import annotations

import atexit as _atexit

from . import _compat, _daffi_rs, _exit, _feeding, _log
from ._calls import Call, current_call
from ._compat import compat
from ._incoming import Incoming
from ._plain import trust
from ._rpc_proxy import Results
from ._serialization import SerdeFormat
from .app import Client, Router, Service
from .registry import alias, callback, local

__version__: str = _daffi_rs.__version__

# What is registered last ends first.
_atexit.register(_daffi_rs.leave)
_atexit.register(_log.end)
_atexit.register(_feeding.end)
_atexit.register(_daffi_rs.shut_down)
_atexit.register(_exit.tell_left)
_compat.from_environment()

__all__ = [
    "Call",
    "Client",
    "Incoming",
    "Results",
    "Router",
    "SerdeFormat",
    "Service",
    "__version__",
    "alias",
    "callback",
    "compat",
    "current_call",
    "local",
    "trust",
]
