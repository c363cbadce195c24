"""Nodes for asyncio."""

import asyncio
import contextvars
import threading

import pytest

from daffi_rs import Incoming, callback, current_call
from daffi_rs import exceptions as failures
from daffi_rs.aio import AsyncClient, AsyncRouter, AsyncService


def run(main, **options):
    """Runs a test that is given a connection to a service of all callbacks."""

    async def network():
        service = AsyncService("service", "127.0.0.1", 0, **options)
        await service.start()
        client = AsyncClient("client", "127.0.0.1", service.port)
        try:
            await asyncio.wait_for(main(await client.connect()), 60)
        finally:
            await client.stop()
            await service.stop()

    asyncio.run(network())


def test_calls_are_awaited_and_callbacks_run_on_the_loop():
    @callback
    async def add(a, b=2):
        await asyncio.sleep(0)
        return a + b, threading.current_thread() is threading.main_thread()

    @callback
    def plain():
        return threading.current_thread() is threading.main_thread()

    async def main(conn):
        assert await conn.rpc(timeout=5).add(1) == (3, True)
        assert await conn.rpc(timeout=5).plain()
        assert await asyncio.create_task(conn.rpc().add(1, b=5)) == (6, True)
        assert await asyncio.gather(*(conn.rpc().add(n) for n in range(300))) == [(n + 2, True) for n in range(300)]
        assert await conn.cast(timeout=5).add(1) == {"service": (3, True)}
        assert await conn.rpc_nowait().add(1) is None
        assert await conn.cast_nowait().add(1) is None
        await conn.wait_for_members("service", timeout=5)
        with pytest.raises(TimeoutError, match="nobody"):
            await conn.wait_for_members("nobody", timeout=0.1)

    run(main)


def test_errors_and_timeouts():
    @callback
    async def fail():
        raise ValueError("bad")

    @callback
    async def slow():
        await asyncio.sleep(60)

    async def main(conn):
        with pytest.raises(failures.RemoteCallError, match="bad"):
            await conn.rpc().fail()
        with pytest.raises(failures.CallTimeout):
            await conn.rpc(timeout=0.2).slow()
        with pytest.raises(failures.TransmissionFailure):
            await conn.rpc().absent()

    run(main, workers=2)


def test_cancelling_reaches_the_callback():
    ended = asyncio.Event

    @callback
    async def slow():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def main(conn):
        global cancelled
        cancelled = ended()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(conn.rpc().slow(), 0.2)
        await asyncio.wait_for(cancelled.wait(), 10)

    run(main)


def test_results_go_one_by_one():
    closed = []

    @callback
    async def rows(to):
        try:
            for number in range(to):
                yield number
        finally:
            closed.append(to)

    @callback
    def numbers(to):
        yield from range(to)

    @callback
    def seven():
        return 7

    @callback
    async def failing():
        yield 1
        raise ValueError("after one")

    async def main(conn):
        assert [row async for row in conn.rpc().rows(500)] == list(range(500))
        assert [row async for row in await conn.rpc().numbers(100)] == list(range(100))
        assert [row async for row in conn.rpc().seven()] == [7], "a plain answer is a stream of one item"
        async with await conn.rpc().rows(10**12) as endless:
            assert [await endless.__anext__(), await endless.__anext__()] == [0, 1]
        while 10**12 not in closed:
            await asyncio.sleep(0.01)
        seen = []
        with pytest.raises(failures.RemoteCallError, match="after one"):
            async for row in conn.rpc().failing():
                seen.append(row)
        assert seen == [1]

    run(main)


def test_arguments_and_chunks_go_one_by_one():
    heard = []

    @callback
    async def total(numbers: Incoming[int]):
        return sum([number async for number in numbers])

    @callback
    async def take(chunk):
        heard.append(chunk)
        if chunk == b"bad":
            raise ValueError("bad chunk")

    async def numbers():
        for number in range(100):
            yield number

    async def chunks():
        yield b"1"
        yield b"2"

    async def main(conn):
        assert await conn.rpc(items=numbers()).total() == sum(range(100))
        assert await conn.rpc(items=range(10)).total() == sum(range(10))
        assert await conn.rpc().total([1, 2]) == 3
        await conn.stream().take(chunks())
        await conn.stream().take([b"3"])
        await conn.stream_nowait().take(chunks())
        with pytest.raises(failures.RemoteCallError, match="bad chunk"):
            await conn.stream().take([b"bad", b"never"])
        assert heard == [b"1", b"2", b"3", b"1", b"2", b"bad"]

    run(main)


def test_workers_bound_what_runs_at_once():
    running = most = 0

    @callback
    async def work():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    async def main(conn):
        await asyncio.gather(*(conn.rpc().work() for _ in range(40)))
        assert most == 4 and running == 0

    run(main, workers=4)


def test_context_is_carried_over():
    variable = contextvars.ContextVar("variable", default="nothing")

    @callback
    async def read():
        return variable.get(), current_call().caller

    async def main(conn):
        assert await conn.rpc().read() == ("set", "client")

    variable.set("set")
    run(main)


def test_members_are_told_to_handlers_of_both_kinds():
    async def main():
        router = AsyncRouter("router", "127.0.0.1", 0)
        heard = []

        @router.on_member_added
        async def added(member):
            heard.append(("added", member))

        @router.on_member_removed
        def removed(member):
            heard.append(("removed", member))

        async with router:
            async with AsyncClient("visitor", "127.0.0.1", router.port) as conn:
                await conn.wait_for_members("visitor", timeout=5)
            while len(heard) < 2:
                await asyncio.sleep(0.01)
        assert heard == [("added", "visitor"), ("removed", "visitor")]

    asyncio.run(asyncio.wait_for(main(), 30))


def test_stop_ends_join():
    async def main():
        service = AsyncService("service", "127.0.0.1", 0)
        await service.start()
        joining = asyncio.ensure_future(service.join())
        await asyncio.sleep(0.05)
        await service.stop()
        await joining

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_loop_that_has_ended_leaves_nothing_open():
    import gc
    import os

    @callback
    async def one():
        return 1

    async def main(conn):
        assert await conn.rpc().one() == 1

    def files():
        run(main)
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    files()
    before = files()
    assert max(files() for _ in range(5)) <= before
