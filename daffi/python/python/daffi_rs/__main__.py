"""The command `daffi`: a router, and a tool that calls, watches and measures a running network."""

from __future__ import annotations

import os
import signal
import sys

from . import _daffi_rs


def main() -> None:
    """Does what the command line says, and ends the process."""
    # The command hears of signals itself, and ends by them when it is told to.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = _daffi_rs.command(["daffi", *sys.argv[1:]])
    # A thread that still reads stdin must not hold the process, as in the binary.
    os._exit(code)


if __name__ == "__main__":
    main()
