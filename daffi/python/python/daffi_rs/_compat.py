"""The behaviour of daffi 3.0.1 where this package is stricter: DAFFI_RS_COMPAT=1, or compat()."""

from __future__ import annotations

import logging
import os
import warnings

_on = False
_warned = False


def compat(on: bool = True) -> None:
    """Gives nodes that are made from now on 3.0.1's behaviour for PICKLE and TLS, with one warning.

    Pickles of anybody who can reach a node are read as Python reads them, which runs whatever they say; and TLS without
    a ca_file verifies nothing, with it no name. `Client.join` raises `Disconnected` once its server is gone. SIGTERM stops
    the nodes and ends the program with code 0, by a `SystemExit`, which `join` raises too. Use it to move a program over,
    and then leave it out again.
    """
    global _on, _warned
    _on = on
    if on and not _warned:
        _warned = True
        warnings.warn(
            "daffi_rs runs as daffi 3.0.1 does: whoever can reach a node can run code in it by a pickle, and TLS without "
            "ca_file verifies nothing; register classes with daffi_rs.trust() and leave compat out when you can",
            RuntimeWarning,
            stacklevel=2,
        )


def is_compat() -> bool:
    """Whether nodes that are made now behave as those of 3.0.1."""
    return _on


def from_environment() -> None:
    """Does what DAFFI_RS_COMPAT says."""
    if os.environ.get("DAFFI_RS_COMPAT", "").lower() in ("1", "true", "yes", "on"):
        try:
            compat()
        except Warning as warning:
            # Where warnings are errors the import would be one, whatever the program does with the package.
            logging.getLogger("daffi_rs").warning("%s", warning)
