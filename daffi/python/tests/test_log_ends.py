"""What the engine's log says, and that it ends with the last node."""

import pytest

from conftest import program

COMPAT = {"DAFFI_RS_COMPAT": "1", "PYTHONWARNINGS": "ignore"}

QUIET = """
    import time
    from daffi_rs import Client, Service, callback

    @callback
    def f():
        raise ValueError("nobody hears")

    service = Service("service", "127.0.0.1", 0)
    service.start()
    client = Client("client", "127.0.0.1", service.port)
    conn = client.connect()
    conn.rpc_nowait().f()
    try:
        conn.rpc(timeout=30).f()
    except Exception as error:
        print(error)
    client.stop()
    service.stop()
"""


def test_compat_mode_is_as_quiet_as_it_was(start):
    quiet = program(start, QUIET, env=COMPAT)
    assert quiet.finish() == ["nobody hears"] and quiet.errors() == ""
    told = program(start, QUIET)
    assert told.finish() == ["nobody hears"] and "a nowait call failed" in told.errors()


LIVES = """
    import asyncio, logging, threading, time
    from daffi_rs import Client, Service, aio, callback

    @callback
    def f():
        raise ValueError("told")

    def names():
        return sorted(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())

    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logging.getLogger("daffi_rs.engine").addHandler(handler)
    for _ in range(3):
        service = Service("own", "127.0.0.1", 0)
        service.start()
        client = Client("caller", "127.0.0.1", service.port)
        conn = client.connect()
        conn.rpc_nowait().f()
        try:
            conn.rpc(timeout=30).f()
        except Exception as error:
            print(error)
        client.stop()
        print("daffi-log" in names())
        service.stop()
        print(names())

    async def main():
        async with aio.Service("own", "127.0.0.1", 0):
            print("daffi-log" in names())

    asyncio.run(main())
    # Nobody waits for it on a loop.
    while names():
        time.sleep(0.001)
    print(names())
    print(sum(line.startswith("a nowait call failed") for line in told))
"""


def test_no_thread_is_left_after_the_last_node(start):
    # The log of each life tells what happened in it.
    assert program(start, LIVES).finish() == ["told", "True", "[]"] * 3 + ["True", "[]", "3"]


ENDS = """
    import asyncio, gc, sys, threading, time
    import daffi_rs
    from daffi_rs import Client, Router, Service, aio, callback

    gone = threading.Event()

    @callback
    def end():
        gone.wait()
        service.stop()

    def in_a_callback():
        global service
        service = Service("own", "127.0.0.1", 0)
        service.start()
        client = Client("caller", "127.0.0.1", service.port)
        client.connect().rpc_nowait().end()
        client.stop()
        gone.set()
        service.join()

    def forgotten():
        router = Router("router", "127.0.0.1", 0)
        router.start()
        daffi_rs.registry._executor_registry.EXECUTOR_REGISTRY.registry.clear()
        client = Client("lost", "127.0.0.1", router.port)
        client.connect()
        router.stop()
        while not client._is_lost():
            time.sleep(0.001)
        del client
        daffi_rs._keeping.make_way(router)
        gc.collect()

    def abandoned():
        router = Router("router", "127.0.0.1", 0)
        router.start()
        client = Client("lost", "127.0.0.1", router.port)
        client.connect()
        router.stop()
        while not client._is_lost():
            time.sleep(0.001)
        daffi_rs._keeping.make_way(Client("lost", "127.0.0.1", router.port))
        assert client._connection_error is not None

    def of_one_name():
        router = Router("router", "127.0.0.1", 0)
        router.start()
        clients = []
        for number in range(5):
            clients.append(Client("same", "127.0.0.1", router.port))
            clients[-1].connect()
        for client in clients[:-1]:
            while client._node is not None and client._node.ended() is None:
                time.sleep(0.001)
        router.stop()
        clients[-1].stop()

    def on_a_loop():
        @callback
        async def end_it():
            await node.stop()

        async def main():
            global node
            node = aio.Service("own", "127.0.0.1", 0)
            await node.start()
            async with aio.Client("caller", "127.0.0.1", node.port) as conn:
                await conn.rpc_nowait().end_it()
                await node.join()

        asyncio.run(main())

    def by_a_signal():
        async def main():
            node = aio.Service("own", "127.0.0.1", 0)
            await node.start()
            node._stop_by_signal()

        asyncio.run(main())

    globals()[sys.argv[1]]()
    while any(thread.name == "daffi-log" for thread in threading.enumerate()):
        time.sleep(0.001)
    print("ended")
"""


@pytest.mark.parametrize("how", ["in_a_callback", "forgotten", "abandoned", "of_one_name", "on_a_loop", "by_a_signal"])
def test_the_log_ends_with_the_last_node_however_that_ends(start, how):
    assert program(start, ENDS, how).finish() == ["ended"]


SLOW = """
    import asyncio, logging, threading, time
    from daffi_rs import aio

    told, held, begun = [], threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record):
            begun.set()
            held.wait()
            told.append(record.getMessage())

    logging.getLogger("daffi_rs.engine").addHandler(Slow())
    logging.getLogger("daffi_rs.engine").setLevel(logging.DEBUG)

    async def main():
        node = aio.Service("own", "127.0.0.1", 0)
        await node.start()
        async with aio.Client("caller", "127.0.0.1", node.port):
            while not begun.is_set():
                await asyncio.sleep(0.001)
        ticks, longest = True, 0.0

        async def tick():
            nonlocal longest
            while ticks:
                began = time.monotonic()
                await asyncio.sleep(0.001)
                longest = max(longest, time.monotonic() - began)

        ticking = asyncio.ensure_future(tick())
        await asyncio.sleep(0.01)
        await node.stop()
        await asyncio.sleep(0.01)
        ticks = False
        await ticking
        print(longest < 0.3, len(told))
        held.set()

    asyncio.run(main())
    while any(thread.name == "daffi-log" for thread in threading.enumerate()):
        time.sleep(0.001)
    print(len(told) > 1)
"""


def test_a_slow_log_holds_no_loop_up(start):
    # Nothing of it is lost, either.
    assert program(start, SLOW).finish() == ["True 0", "True"]


EVICTED = """
    from daffi_rs import Client, Router

    router = Router("router", "127.0.0.1", 0)
    router.start()
    older = Client("same", "127.0.0.1", router.port)
    older.connect()
    newer = Client("same", "127.0.0.1", router.port)
    newer.connect()
    older.join()
    print(older._connection_error)
    newer.stop()
    router.stop()
"""


def test_an_eviction_is_one_line(start):
    evicted = program(start, EVICTED)
    assert evicted.finish() == ["same was evicted: a newer connection took its name"]
    assert [line for line in evicted.errors().splitlines() if "evicted" in line] == [evicted.errors()]
