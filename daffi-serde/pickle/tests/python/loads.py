"""Reads lines of a pickle in hexadecimal, a tab and a Python expression; fails if they are not equal.

Both unpicklers of CPython read each: the one in C and the one in Python.
"""

import datetime  # noqa: F401, for the expressions
import decimal  # noqa: F401
import pickle
import sys
import uuid  # noqa: F401

failed = False
for line in sys.stdin.read().splitlines():
    pickled, expression = line.split("\t")
    expected = eval(expression)
    for loads in (pickle.loads, pickle._loads):
        loaded = loads(bytes.fromhex(pickled))
        # The text as well, since True == 1 == 1.0.
        if loaded != expected or repr(loaded) != repr(expected):
            print("{!r} was read where {!r} was written".format(loaded, expected))
            failed = True
sys.exit(failed)
