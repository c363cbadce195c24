"""Peers that keep to the wire and to nothing else, beside an honest caller of the same node."""

import asyncio
import contextlib
import itertools
import signal
import socket
import struct
import threading
import time

import pytest
from conftest import program

from daffi_rs import Client, Incoming, Router, SerdeFormat, Service, callback
from daffi_rs import exceptions as failures
from daffi_rs.aio import AsyncClient, AsyncService

LONGEST = 30
REQUEST = 1
HELLO = b'{"meta":{"type":"client","error":null},"members":[{"name":"evil","methods":null}]}'


def frame(flag, number, metadata, payload, decoder=2, wants=1, missing=0):
    """A frame of level 3, whose header promises `missing` bytes more."""
    length = (len(metadata) + len(payload) + missing) | len(metadata) << 25
    head = struct.pack("<HB", number, flag | decoder << 4 | 1 << 6 | wants << 7) + length.to_bytes(5, "little")
    return head + b"\x81" + metadata + payload


def add(number, payload, **more):
    return frame(REQUEST, number % 60_000 + 2, b"evil|service|add", payload, **more)


SUM = b"\x80\x04K\x01K\x02\x86}\x86."

MSGPACK, JSON = 3, 1

#: What each sends once it is a member.
HOSTILE = {
    "arguments of no kind": lambda: [
        *(add(n, b"\x91" * 50_000, decoder=MSGPACK) for n in range(50)),
        *(add(n, b"\x92\xdd\xff\xff\xff\xff", decoder=MSGPACK) for n in range(50)),
        *(add(n, b"[" * 50_000 + b"NaN", decoder=JSON) for n in range(50)),
        *(add(n, b'{"args":[NaN,' + b"9" * 50_000 + b'],"kwargs":{}}', decoder=JSON) for n in range(50)),
        *(add(n, b"\x80\x04)}K\x01K\x02s\x86.") for n in range(50)),
        *(add(n, b"\x80\x04" + b"]" * 50_000 + b"a" * 49_999 + b"}\x86.") for n in range(20)),
        *(add(n, SUM, decoder=7) for n in range(50)),
    ],
    "callbacks of odd names": lambda: [
        frame(REQUEST, n + 2, b"evil|service|" + name, SUM)
        for n, name in enumerate([b"", b" ", b"a,b", b"a|b", b"\xff\xfe", b"a\0b", b"x" * 9000, "\u202e".encode()] * 50)
    ],
    "members of odd names": lambda: [
        frame(0, n + 2, b"evil||", b'{"meta":{"type":"client","error":null},"members":[{"name":' + name + b',"methods":["add"]}]}', 1)
        for n, name in enumerate([b'"evil"', b'"a|b"', b'"\\ud800"', b'""', b"5", b"[" * 500, b'"' + b"x" * 20_000 + b'"'])
    ],
    "half a header": lambda: [add(0, SUM)[:5]],
    "silent in a body": lambda: [add(0, SUM, missing=1 << 20)],
    "a body that drips": lambda: [add(0, b"", missing=1 << 20), *([b"x"] * 200)],
    "nowait without end": lambda: [add(n, SUM, wants=0) for n in range(20_000)],
    "nowait of nonsense": lambda: [add(n, b"\x80\x04cos\nsystem\n.", wants=0) for n in range(5000)],
    "calls whose answers it does not read": lambda: [add(n, SUM) for n in range(20_000)],
    "many names of no class": lambda: [add(n, b"cpathlib\nPurePath\n0](" + b"\x8f" * 50_000 + b"e.") for n in range(50)],
    "answers to nobody": lambda: [frame(2, n + 1, b"evil|service|add", SUM) for n in range(5000)],
}


def hostile(port, frames):
    """Sends them for as long as anybody takes them; what is sent last stays as it is."""
    peer = socket.create_connection(("127.0.0.1", port), LONGEST)
    peer.settimeout(LONGEST)
    peer.sendall(b"\x1f" * 9 + frame(0, 1, b"evil||", HELLO, 1))
    peer.recv(65536)

    def send():
        with contextlib.suppress(OSError):
            for part in frames:
                peer.sendall(part)

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    return peer, sending


def expose():
    @callback
    def add(a, b):
        return a + b


def honest(port):
    with Client("client", "127.0.0.1", port) as conn:
        for number in range(50):
            assert conn.rpc(timeout=LONGEST, serde=SerdeFormat.PICKLE).add(number, 1) == number + 1


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_honest_caller_is_served_beside(kind):
    expose()
    with Service("service", "127.0.0.1", 0, grace=0.1) as service:
        peer, sending = hostile(service.port, HOSTILE[kind]())
        honest(service.port)
        peer.close()
        sending.join(LONGEST)
        honest(service.port)


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_honest_caller_is_served_beside_on_a_loop(kind):
    async def program():
        expose()
        async with AsyncService("service", "127.0.0.1", 0, grace=0.1) as service:
            loop = asyncio.get_running_loop()
            peer, sending = await loop.run_in_executor(None, hostile, service.port, HOSTILE[kind]())
            await loop.run_in_executor(None, honest, service.port)
            peer.close()
            await loop.run_in_executor(None, sending.join, LONGEST)
            await loop.run_in_executor(None, honest, service.port)

    asyncio.run(asyncio.wait_for(program(), 3 * LONGEST))


@pytest.mark.parametrize("kind", ["endless", "silent"])
def test_an_honest_caller_is_served_beside_items_without_end(kind):
    expose()
    may = threading.Event()

    @callback
    def total(numbers: Incoming[int]):
        return sum(numbers)

    def items():
        yield from itertools.takewhile(lambda _: not may.is_set(), itertools.count()) if kind == "endless" else [1]
        may.wait(LONGEST)

    with Service("service", "127.0.0.1", 0, grace=0.1) as service, Client("evil", "127.0.0.1", service.port) as conn:
        calls = [conn.rpc(items=items(), results=True).total() for _ in range(20)]
        honest(service.port)
        may.set()
        for call in calls:
            call.close()
        honest(service.port)


#: A member that leaves its results unread and its arguments unsent.
LAZY = """
    import sys, threading, time
    from daffi_rs import Client

    def items():
        yield 1
        print("sends", flush=True)
        time.sleep(3600)

    conn = Client("lazy", "127.0.0.1", int(sys.argv[1])).connect()
    unread = [getattr(conn.rpc(results=True), name)() for name in ("large", "small") for _ in range(10)]
    for _ in range(5):
        threading.Thread(target=lambda: conn.rpc(items=items()).total(), daemon=True).start()
    time.sleep(3600)
"""


class Closed:
    """Generators and sums that have not ended yet."""

    def __init__(self):
        self.open = 0

    def expose(self):
        expose()

        @callback
        def large():
            with self:
                yield from iter(lambda: b"x" * 1_000_000, None)

        @callback
        def small():
            with self:
                yield from itertools.count()

        @callback
        def total(numbers: Incoming[int]):
            with self:
                return sum(numbers)

    def __enter__(self):
        self.open += 1

    def __exit__(self, *_):
        self.open -= 1

    def until(self, count):
        deadline = time.monotonic() + LONGEST
        while self.open != count:
            assert time.monotonic() < deadline, f"{self.open} are open, and not {count}"
            time.sleep(0.01)


@pytest.mark.parametrize("ends", ["is killed", "stands still and is killed"])
def test_a_caller_that_takes_nothing_and_leaves_holds_nothing(start, ends):
    closed = Closed()
    closed.expose()
    with Service("service", "127.0.0.1", 0, workers=2, grace=0.1) as service:
        lazy = program(start, LAZY, service.port)
        for _ in range(5):
            lazy.line()
        closed.until(25)
        honest(service.port)
        if ends != "is killed":
            lazy.process.send_signal(signal.SIGSTOP)
            honest(service.port)
        lazy.kill()
        closed.until(0)
        honest(service.port)


#: A worker that says that it has a call, and does not answer.
MUTE = """
    import sys, time
    from daffi_rs import Client, callback

    @callback
    def nap(*_):
        print("naps", flush=True)
        time.sleep(3600)

    @callback
    def rows():
        yield 1
        print("naps", flush=True)
        time.sleep(3600)

    client = Client("mute", "127.0.0.1", int(sys.argv[1]), workers=8)
    client.connect()
    client.join()
"""


def test_calls_to_a_worker_that_vanishes_end_with_what_happened(start):
    with Router("router", "127.0.0.1", 0) as router, Client("client", "127.0.0.1", router.port) as conn:
        mute = program(start, MUTE, router.port)
        conn.wait_for_members("mute", timeout=LONGEST)
        ends = {}

        def call(name, make):
            try:
                ends[name] = make()
            except Exception as error:
                ends[name] = error

        async def there():
            async with AsyncClient("loop", "127.0.0.1", router.port) as there:
                return await there.rpc().nap()

        calls = {
            "rpc": lambda: conn.rpc().nap(),
            "cast": lambda: conn.cast().nap()["mute"],
            "stream": lambda: conn.stream().nap([b""]),
            "results": lambda: list(conn.rpc(results=True).rows()),
            "loop": lambda: asyncio.run(there()),
        }
        threads = [threading.Thread(target=call, args=each, daemon=True) for each in calls.items()]
        for thread in threads:
            thread.start()
        for _ in calls:
            mute.line()
        mute.process.send_signal(signal.SIGSTOP)
        with pytest.raises(failures.CallTimeout):
            conn.rpc(timeout=0.2).nap()
        mute.kill()
        for thread in threads:
            thread.join(LONGEST)
        assert {name: type(end) for name, end in ends.items()} == dict.fromkeys(calls, failures.ReceiverGone)
