"""Calls end when they have ended, whatever the source of their items does."""

import asyncio
import contextlib

import pytest

from daffi_rs import Incoming, callback
from daffi_rs import exceptions as failures
from daffi_rs.aio import AsyncClient, AsyncService

LONGEST = 30


def on_a_loop(program):
    @callback
    async def total(numbers: Incoming[int]):
        return sum([number async for number in numbers])

    @callback
    async def refuse(numbers: Incoming[int]):
        raise LookupError("no numbers")

    @callback
    async def refuse_all(numbers: Incoming[int]):
        raise LookupError("no numbers")
        yield 1

    @callback
    async def chunk(number):
        raise LookupError("no chunks")

    @callback
    async def take(number):
        return None

    async def all_of_it():
        async with AsyncService("service", "127.0.0.1", 0) as service:
            async with AsyncClient("client", "127.0.0.1", service.port) as conn:
                await program(conn)

    asyncio.run(asyncio.wait_for(all_of_it(), LONGEST))


class Source:
    """Gives one number and then nothing for ever, and notes that it was closed."""

    def __init__(self, deaf=False):
        self.closed, self.deaf, self.may, self.asked = asyncio.Event(), deaf, asyncio.Event(), False

    async def __call__(self):
        try:
            yield 1
            self.asked = True
            while not self.may.is_set():
                with contextlib.suppress(asyncio.CancelledError) if self.deaf else contextlib.nullcontext():
                    await self.may.wait()
        finally:
            self.closed.set()


def test_a_call_ends_with_its_connection_though_its_source_gives_nothing():
    async def program(conn):
        source = Source()
        calling = asyncio.ensure_future(conn.rpc(items=source()).total())
        while not source.asked:
            await asyncio.sleep(0)
        await conn.client.stop()
        with pytest.raises(failures.TransmissionFailure):
            await calling
        assert source.closed.is_set()

    on_a_loop(program)


def test_a_call_ends_with_what_the_callback_raises_though_its_source_gives_nothing():
    async def program(conn):
        source = Source()
        with pytest.raises(failures.RemoteCallError, match="no numbers"):
            await conn.rpc(items=source()).refuse()
        assert source.closed.is_set()
        source = Source()
        with pytest.raises(failures.RemoteCallError, match="no chunks"):
            await conn.stream().chunk(source())
        assert source.closed.is_set()

    on_a_loop(program)


def test_results_end_the_source_beside_them():
    async def program(conn):
        source = Source()
        with pytest.raises(failures.RemoteCallError, match="no numbers"):
            async for _ in conn.rpc(items=source(), results=True).refuse_all():
                pass
        await source.closed.wait()
        # So do those that nobody has any more.
        source = Source()
        results = await conn.rpc(items=source(), results=True).total()
        await asyncio.sleep(0)
        del results
        await source.closed.wait()

    on_a_loop(program)


def test_a_source_that_does_not_end_holds_no_call_up():
    async def program(conn):
        source = Source(deaf=True)
        with pytest.raises(failures.RemoteCallError, match="no numbers"):
            await conn.rpc(items=source()).refuse()
        assert not source.closed.is_set()
        source.may.set()
        await source.closed.wait()

    on_a_loop(program)


def test_what_the_source_raises_is_raised_and_nothing_else():
    async def broken():
        yield 1
        raise LookupError("the source failed")

    async def program(conn):
        with pytest.raises(LookupError, match="the source failed"):
            await conn.rpc(items=broken()).total()
        with pytest.raises(LookupError, match="the source failed"):
            await conn.stream().take(broken())
        assert await conn.rpc(items=range(5)).total() == 10

    on_a_loop(program)
