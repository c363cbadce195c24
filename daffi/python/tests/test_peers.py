"""Peers that keep to the wire and to nothing else, beside an honest caller of the same node."""

import asyncio
import contextlib
import itertools
import socket
import struct
import threading

import pytest

from daffi_rs import Client, Incoming, SerdeFormat, Service, callback
from daffi_rs.aio import AsyncService

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

#: What each sends once it is a member.
HOSTILE = {
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
