"""Programs written for 3.0.1 print the same with daffi_rs in its place."""

import sys

import pytest
from conftest import HERE, command, free_port

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


HABITS = [
    "private",
    "patches",
    "annotations",
    "proxies",
    "late",
    "options",
    "names",
    "joins",
    "gone",
    "terminated",
    "plain_data",
    "loop",
]


@pytest.mark.parametrize("file, name", [("programs.py", name) for name in PROGRAMS] + [("habits.py", name) for name in HABITS])
def test_the_same_is_printed(start, file, name):
    env = {"DAFFI_RS_COMPAT": "1", "PYTHONWARNINGS": "ignore"}
    there, here = [
        start([*command(library, HERE / file), name, str(free_port())], env) for library in ("3.0.1", "daffi_rs")
    ]
    assert here.finish() == there.finish()


def test_all_programs_are_run():
    for file, names in {"programs.py": PROGRAMS, "habits.py": HABITS}.items():
        source = (HERE / file).read_text()
        for name in names:
            assert f"def {name}():" in source
    assert sys.version_info >= (3, 9)
