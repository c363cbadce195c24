"""No peer outlives its driver, and no hang stays silent."""

import ctypes
import faulthandler
import os
import signal
import sys
import traceback

# Exit codes; the watchdog ends the process with 1, argparse with 2.
STOPPED, NOT_STARTED, CRASHED, ORPHANED = 0, 3, 4, 5

PR_SET_PDEATHSIG = 1


def guard(max_seconds):
    """Call first: ends this process when its parent dies or after max_seconds (with all stacks on stderr)."""
    faulthandler.enable()
    # A thread of C that needs no interpreter lock: it fires even when native code holds the lock for ever.
    faulthandler.dump_traceback_later(max_seconds, exit=True)
    sys.excepthook = _crash
    if sys.platform == "linux":
        parent = os.getppid()
        # The kernel also signals when only the parent's *thread* that started us ends, hence the check and no SIGKILL.
        signal.signal(signal.SIGUSR2, lambda *_: os.getppid() != parent and os._exit(ORPHANED))
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGUSR2)


def take_stdout():
    """The real stdout for answers alone; whatever else writes to file descriptor 1 comes out on stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def own_signals():
    """Call after the node started: daffi's handlers call stop(), which hangs on a server."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _crash(kind, error, trace):
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    os._exit(CRASHED)
