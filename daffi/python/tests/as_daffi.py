"""Runs a program that imports daffi with daffi_rs in its place: `python as_daffi.py PROGRAM ARGUMENTS..`."""

import importlib
import os
import pkgutil
import runpy
import sys


def stand_in():
    """Every module of daffi_rs under the name that it has in daffi."""
    package = importlib.import_module("daffi_rs")
    names = ["daffi_rs"] + [found.name for found in pkgutil.walk_packages(package.__path__, "daffi_rs.")]
    for name in names:
        sys.modules["daffi" + name[len("daffi_rs") :]] = importlib.import_module(name)


if __name__ == "__main__":
    stand_in()
    program, sys.argv = sys.argv[1], sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(program))
    runpy.run_path(program, run_name="__main__")
