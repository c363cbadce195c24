"""Tries the package on an interpreter: all of its modules, calls and results one by one, plain and on a loop."""

import asyncio
import importlib
import pkgutil
import sys

import daffi_rs.aio
from daffi_rs import Client, Service, callback

for found in pkgutil.walk_packages(daffi_rs.__path__, "daffi_rs."):
    importlib.import_module(found.name)


@callback
def add(a: int, b: int = 2) -> int:
    return a + b


@callback
async def later(a):
    return a


@callback
def rows(to):
    yield from range(to)


async def on_a_loop(port):
    async with daffi_rs.aio.AsyncClient("async", "127.0.0.1", port) as conn:
        assert await conn.rpc(timeout=30).add(3) == 5
        assert [row async for row in conn.rpc(timeout=30).rows(2)] == [0, 1]


with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
    assert (conn.rpc(timeout=30).add(1), conn.rpc(timeout=30).later(2)) == (3, 2)
    assert list(conn.rpc(timeout=30).rows(3)) == [0, 1, 2]
    asyncio.run(on_a_loop(service.port))
print("daffi_rs", daffi_rs.__version__, "on", sys.version.split()[0])
