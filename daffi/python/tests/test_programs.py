"""Programs written for 3.0.1 print the same with daffi_rs in its place."""

import sys

import pytest
from conftest import HERE, command

PROGRAMS = [
    "executors",
    "decorators",
    "names",
    "payloads",
    "errors",
    "styles",
    "timeouts",
    "life",
    "members",
    "loops",
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_is_printed(start, name):
    env = {"DAFFI_RS_COMPAT": "1", "PYTHONWARNINGS": "ignore"}
    there, here = [start([*command(library, HERE / "programs.py"), name], env) for library in ("3.0.1", "daffi_rs")]
    assert here.finish() == there.finish()


def test_all_programs_are_run():
    source = (HERE / "programs.py").read_text()
    for name in PROGRAMS:
        assert f"def {name}():" in source
    assert sys.version_info >= (3, 9)
