"""The programs of daffi/python/examples print what their README says."""

import re
import sys

import pytest
from conftest import HERE, command

EXAMPLES = HERE.parent / "examples"
ROWS = re.findall(r"^\| \[`(\w+\.py)`\].*\| (.*) \|$", (EXAMPLES / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("program, prints", ROWS, ids=[program for program, _ in ROWS])
def test_an_example_prints_what_its_readme_says(start, program, prints):
    assert start([sys.executable, str(EXAMPLES / program)]).finish() == re.findall(r"`([^`]*)`", prints)


def test_every_example_is_in_the_readme():
    text = (EXAMPLES / "README.md").read_text()
    assert [program.name for program in EXAMPLES.glob("*.py") if f"[`{program.name}`]" not in text] == []
    assert len(ROWS) == 3


@pytest.mark.parametrize("library", ["daffi_rs", "3.0.1"])
def test_rows_reach_either_library(start, library):
    service = start([sys.executable, str(EXAMPLES / "rows_service.py"), "0"])
    port = service.line().rpartition(" ")[2]
    client = start([*command(library, EXAMPLES / "rows_client.py"), port])
    assert client.finish() == ["red 1", "green 2", "blue 3"]
    assert service.stop() == []


def test_rows_reach_rust(start):
    service = start([sys.executable, str(EXAMPLES / "rows_service.py"), "0"])
    port = service.line().rpartition(" ")[2]
    call = start([sys.executable, "-m", "daffi_rs", "call", f"tcp://127.0.0.1:{port}", "rows", "3"])
    assert [line.strip('"') for line in call.finish()] == ["red 1", "green 2", "blue 3"]
