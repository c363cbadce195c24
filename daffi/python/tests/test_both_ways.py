"""Arguments and results that go one by one at once, and callbacks that wait for arguments."""

import asyncio
import queue
import threading

import pytest

from daffi_rs import Client, Incoming, SerdeFormat, Service, callback, current_call
from daffi_rs import exceptions as failures
from daffi_rs.aio import AsyncClient, AsyncService


def expose():
    @callback
    def doubled(numbers: Incoming[int]):
        for number in numbers:
            yield 2 * number

    @callback
    def total(numbers: Incoming[int]):
        return sum(numbers)

    @callback
    def ping():
        return threading.current_thread().name


def expose_async():
    @callback
    async def doubled(numbers: Incoming[int]):
        async for number in numbers:
            yield 2 * number

    @callback
    async def total(numbers: Incoming[int]):
        return sum([number async for number in numbers])

    @callback
    async def ping():
        return "pong"


@pytest.fixture
def conn():
    expose()
    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        yield conn


@pytest.mark.parametrize("serde", [SerdeFormat.JSON, SerdeFormat.PICKLE, SerdeFormat.MSGPACK])
def test_arguments_and_results_go_at_once(conn, serde):
    asked = queue.Queue()

    def numbers():
        yield from iter(asked.get, None)

    results = conn.rpc(timeout=30, serde=serde, items=numbers(), results=True).doubled()
    for number in range(3):
        # The next argument is made of the result before it.
        asked.put(number)
        assert next(results) == 2 * number
    asked.put(None)
    assert list(results) == []


def test_many_more_than_are_held_pass(conn):
    results = conn.rpc(serde=SerdeFormat.MSGPACK, items=range(20_000), results=True).doubled()
    assert sum(results) == 2 * sum(range(20_000))


def test_what_the_source_raises_is_raised_at_the_reader(conn):
    def broken():
        yield 1
        raise LookupError("the source failed")

    results = conn.rpc(items=broken(), results=True).doubled()
    with pytest.raises(LookupError, match="the source failed"):
        list(results)
    assert conn.rpc(timeout=30).ping()


def test_breaking_off_closes_the_source(conn):
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with conn.rpc(items=endless(), results=True).doubled() as results:
        assert next(results) == 2
    assert closed.wait(30)


def test_a_plain_result_of_items_in_both_directions_is_a_stream_of_one(conn):
    assert list(conn.rpc(items=[1, 2], results=True).total()) == [3]


def test_callbacks_that_wait_for_arguments_hold_no_worker(conn):
    asked, ends = queue.Queue(), []

    def numbers():
        yield 1
        yield from iter(asked.get, None)

    # More than there are workers, and more than the engine lets begin beside those.
    for _ in range(40):
        call = threading.Thread(target=lambda: ends.append(conn.rpc(items=numbers()).total()))
        call.start()
    for _ in range(10):
        assert conn.rpc(timeout=30).ping()
    for _ in range(40):
        asked.put(None)
    while threading.active_count() and len(ends) < 40:
        assert conn.rpc(timeout=30).ping()
    assert ends == [1] * 40


def test_one_worker_runs_one_callback_also_when_arguments_are_waited_for():
    running, most = [], []
    asked = queue.Queue()

    @callback
    def take(numbers: Incoming[int]):
        for number in numbers:
            running.append(number)
            most.append(len(running))
            threading.Event().wait(0.01)
            running.remove(number)
        return current_call().name

    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        ends = []
        calls = [threading.Thread(target=lambda: ends.append(conn.rpc(items=iter(asked.get, None)).take())) for _ in range(8)]
        for call in calls:
            call.start()
        for number in range(80):
            asked.put(number)
        for _ in calls:
            asked.put(None)
        for call in calls:
            call.join(60)
    assert ends == ["take"] * 8 and len(most) == 80 and set(most) == {1}


def on_a_loop(program):
    async def all_of_it():
        expose_async()
        async with AsyncService("service", "127.0.0.1", 0) as service:
            async with AsyncClient("client", "127.0.0.1", service.port) as conn:
                await program(conn)

    asyncio.run(asyncio.wait_for(all_of_it(), 60))


def test_arguments_and_results_go_at_once_on_a_loop():
    async def program(conn):
        asked = asyncio.Queue()

        async def numbers():
            while (number := await asked.get()) is not None:
                yield number

        results = await conn.rpc(timeout=30, items=numbers(), results=True).doubled()
        for number in range(3):
            await asked.put(number)
            assert await results.__anext__() == 2 * number
        await asked.put(None)
        assert [result async for result in results] == []
        calling = conn.rpc(items=range(5000), results=True).doubled()
        assert sum([result async for result in calling]) == 2 * sum(range(5000))

    on_a_loop(program)


def test_the_source_fails_and_is_closed_on_a_loop():
    async def program(conn):
        closed = asyncio.Event()

        async def numbers(fails):
            try:
                yield 1
                if fails:
                    raise LookupError("the source failed")
                await asyncio.Event().wait()
            finally:
                closed.set()

        with pytest.raises(LookupError, match="the source failed"):
            async for _ in conn.rpc(items=numbers(True), results=True).doubled():
                pass
        assert closed.is_set()
        closed.clear()
        async with await conn.rpc(items=numbers(False), results=True).doubled() as results:
            assert await results.__anext__() == 2
        assert closed.is_set()
        assert await conn.rpc(timeout=30).ping() == "pong"

    on_a_loop(program)


def test_callbacks_that_wait_for_arguments_hold_no_place_on_a_loop():
    async def program(conn):
        asked = asyncio.Queue()

        async def numbers():
            yield 1
            await asked.get()

        calls = [asyncio.ensure_future(conn.rpc(items=numbers()).total()) for _ in range(40)]
        for _ in range(10):
            assert await conn.rpc(timeout=30).ping() == "pong"
        calls[0].cancel()
        for _ in calls:
            await asked.put(None)
        assert await asyncio.gather(*calls[1:]) == [1] * 39
        assert await conn.rpc(timeout=30).ping() == "pong"

    on_a_loop(program)


def test_a_source_that_fails_at_once_gives_its_call_up_on_a_loop():
    ended = []

    @callback
    async def watched(numbers: Incoming[int]):
        ended.append([number async for number in numbers])

    async def program(conn):
        with pytest.raises(ZeroDivisionError):
            await conn.rpc(items=(1 // number for number in [0])).watched()
        assert await conn.rpc(timeout=30).ping() == "pong"

    on_a_loop(program)
    assert ended == []


def test_options_that_are_no_such_are_refused(conn):
    with pytest.raises(ValueError, match="Unknown serde format"):
        conn.rpc(serde="json")
    with pytest.raises(ValueError, match="could not convert"):
        conn.rpc(timeout="soon")
    assert conn.rpc(timeout="30").ping()
    with pytest.raises(failures.TransmissionFailure):
        conn.rpc(receiver=["nobody"]).ping()
