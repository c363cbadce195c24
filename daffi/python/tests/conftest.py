"""What tests share: programs in either library, and the addresses that they meet at."""

import contextlib
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
LONGEST = 60


def pytest_configure(config):
    for name in ("DAFFI_PYTHON", "DAFFI_EXAMPLES"):
        if not os.environ.get(name):
            raise pytest.UsageError(f"{name} is not set: run scripts/test-python, which sets all up")


def command(library, program):
    """How a program is run: in Rust, with daffi 3.0.1, or with daffi_rs in its place."""
    if library == "rust":
        return [str(pathlib.Path(os.environ["DAFFI_EXAMPLES"], pathlib.Path(program).stem))]
    if library == "3.0.1":
        return [os.environ["DAFFI_PYTHON"], str(program)]
    return [sys.executable, str(HERE / "as_daffi.py"), str(program)]


class Program:
    """A program that runs; what it prints is there line by line."""

    def __init__(self, argv, env=None):
        self.argv = argv
        self.process = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        )
        self._lines = queue.Queue()
        self._errors = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._lines.put), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self._errors.append), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, put):
        for line in stream:
            put(line.rstrip("\n"))

    def line(self):
        """The next line; fails when it does not come."""
        try:
            return self._lines.get(timeout=LONGEST)
        except queue.Empty:
            raise AssertionError(self.story("prints nothing more")) from None

    def rest(self):
        """All lines that came and were not taken, once the program has ended."""
        self.process.wait(LONGEST)
        for reader in self._readers:
            reader.join(LONGEST)
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._lines.get_nowait())
        return lines

    def finish(self):
        """Waits for its end, which is to be a good one, and gives what it printed."""
        lines = self.rest()
        assert self.process.returncode == 0, self.story(f"ended with {self.process.returncode} after {lines}")
        return lines

    def stop(self, number=signal.SIGTERM):
        """Ends it by a signal."""
        self.process.send_signal(number)
        return self.finish()

    def errors(self):
        """What it wrote to stderr, once it has ended."""
        self.process.wait(LONGEST)
        for reader in self._readers:
            reader.join(LONGEST)
        return "\n".join(self._errors)

    def kill(self):
        self.process.kill()
        self.process.wait(LONGEST)

    def story(self, what):
        self._readers[1].join(0.2)
        return f"{' '.join(self.argv)} {what}\n" + "\n".join(self._errors)


@pytest.fixture
def start():
    """Starts programs, which are ended after the test."""
    running = []

    def begin(argv, env=None):
        running.append(Program(argv, env))
        return running[-1]

    yield begin
    for program in running:
        if program.process.poll() is None:
            program.kill()


def program(start, text, *args, env=None):
    """Starts a program that is given as text."""
    return start([sys.executable, "-c", textwrap.dedent(text), *map(str, args)], env)


#: A Service that says its port, in the beginning of a program.
SERVE = """
    import sys, time
    from daffi_rs import Client, Service, callback

    @callback
    def nap(seconds):
        time.sleep(seconds)
        return seconds

    service = Service("service", "127.0.0.1", 0, workers=4)
    service.start()
    print(service.port, flush=True)
"""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def printed(table, name):
    """What an example prints, by the tables of the README of the examples."""
    text = (ROOT / "examples" / "README.md").read_text()
    part = text[text.index("## Pairs") : text.index("## Behind a router")] if table == "pairs" else text[text.index("## Behind a router") : text.index("## Programs that stand alone")]
    for row in part.splitlines():
        if row.startswith(f"| `{name}`<br>"):
            return re.findall(r"`([^`]*)`", row.rstrip(" |").rsplit(" | ", 1)[1])
    raise AssertionError(f"no row of {name} in the table of {table}")


@pytest.fixture
def network():
    """Serves the callbacks of a test, and gives a connection."""
    from daffi_rs import Client, Service

    nodes = []

    def begin(workers=1, **options):
        service = Service("service", "127.0.0.1", 0, workers=workers, **options)
        service.start()
        client = Client("client", "127.0.0.1", service.port, **options)
        nodes.extend([client, service])
        return client.connect()

    yield begin
    for node in nodes:
        node.stop()


@pytest.fixture(autouse=True)
def clean_registry():
    """Callbacks of one test are not those of another."""
    from daffi_rs.registry._executor_registry import EXECUTOR_REGISTRY

    EXECUTOR_REGISTRY.registry.clear()
    EXECUTOR_REGISTRY.subscribers.clear()
    yield
    EXECUTOR_REGISTRY.registry.clear()
    EXECUTOR_REGISTRY.subscribers.clear()
