"""How nodes for asyncio end: by signals, by cancelling, beside what the program does itself."""

import asyncio
import concurrent.futures
import signal
import socket

import pytest
from conftest import program

from daffi_rs import callback
from daffi_rs import exceptions as failures
from daffi_rs.aio import AsyncClient, AsyncRouter, AsyncService

LONGEST = 30

#: A service and a client of it, in the beginning of a program.
BEGIN = """
    import asyncio, signal, sys
    from daffi_rs import callback
    from daffi_rs.aio import Client, Service

    def say(*words):
        print(*words, flush=True)

    @callback
    async def nap():
        naps.set()
        await may_end.wait()
        say("slept")

    async def begin():
        global naps, may_end
        naps, may_end = asyncio.Event(), asyncio.Event()
        service = Service("service", "127.0.0.1", 0, workers=2)
        await service.start()
        client = Client("client", "127.0.0.1", service.port)
        return service, client, await client.connect()
"""


def test_sigterm_in_compat_mode_leaves_a_stop_on_a_loop_its_time(start):
    text = BEGIN + """
    from daffi_rs import _signals

    async def main():
        service, client, conn = await begin()
        call = asyncio.ensure_future(conn.rpc().nap())
        await naps.wait()
        stop = asyncio.ensure_future(service.stop())
        await asyncio.sleep(0)
        say("stops")
        while not _signals._term.heard:
            await asyncio.sleep(0.01)
        may_end.set()
        await stop
        say("never")

    asyncio.run(main())
    """
    serving = program(start, text, env={"DAFFI_RS_COMPAT": "1"})
    assert serving.line() == "stops"
    assert serving.stop(signal.SIGTERM) == ["slept"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_join_on_a_loop(start, number):
    text = BEGIN + """
    async def main():
        service, client, _ = await begin()
        joins = [asyncio.ensure_future(node.join()) for node in (service, client)]
        await asyncio.sleep(0.1)
        say("join")
        await asyncio.gather(*joins)
        say(service._conn_num, client._conn_num)

    asyncio.run(main())
    """
    joining = program(start, text)
    assert joining.line() == "join"
    assert joining.stop(number) == ["None None"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_handles_a_signal_itself_does_so_where_it_joins(start, number):
    text = BEGIN + f"""
    async def main():
        service, client, _ = await begin()
        asyncio.get_running_loop().add_signal_handler({int(number)}, heard)
        joins = [asyncio.ensure_future(node.join()) for node in (service, client)]
        await asyncio.sleep(0.1)
        say("joins")
        heard_of.append(service)
        await joins[0]
        say(joins[1].done())
        await client.stop()
        await joins[1]

    def heard():
        say("heard")
        asyncio.ensure_future(heard_of[0].stop())

    heard_of = []
    asyncio.run(main())
    """
    joining = program(start, text)
    assert joining.line() == "joins"
    assert joining.stop(number) == ["heard", "False"]


@pytest.mark.parametrize("compat", [True, False])
def test_signals_do_after_a_join_what_they_did_before(start, compat):
    text = BEGIN + """
    def handlers():
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async def main():
        service, client, _ = await begin()
        before = handlers()
        for _ in range(2):
            join = asyncio.ensure_future(client.join())
            await asyncio.sleep(0.1)
            say(handlers() == before)
            await client.stop()
            await join
            say(handlers() == before)
            await client.connect()
        await client.stop()
        await service.stop()

    asyncio.run(main())
    """
    joining = program(start, text, env={"DAFFI_RS_COMPAT": "1" if compat else ""})
    assert joining.finish() == ["False", "True"] * 2


def test_a_child_that_is_forked_on_a_loop_leaves_that_to_its_parent(start):
    text = BEGIN + """
    import os

    @callback
    async def one():
        return 1

    async def main():
        service, client, conn = await begin()
        async with service, conn:
            for ends in ("stops", "leaves"):
                assert await conn.rpc(timeout=30).one() == 1
                # Its loop finds something to hear, and so does that of a child.
                calls = [asyncio.ensure_future(conn.rpc(timeout=30).one()) for _ in range(10)]
                await asyncio.sleep(0)
                child = os.fork()
                if child == 0 and ends == "leaves":
                    sys.exit(0)
                if child == 0:
                    for node in (service, client):
                        try:
                            await node.stop()
                        except RuntimeError as error:
                            say("forked" in str(error))
                    os._exit(0)
                os.waitpid(child, 0)
                say(sum(await asyncio.gather(*calls)))
                say(await conn.rpc(timeout=30).one())

    asyncio.run(main())
    """
    assert program(start, text).finish() == ["True", "True", "10", "1", "10", "1"]


def test_ctrl_c_gives_a_client_that_connects_on_a_loop_up(start):
    text = BEGIN + """
    async def main():
        say("connects")
        await Client("client", "127.0.0.1", int(sys.argv[1])).connect()

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        say("interrupted")
    import time; time.sleep(3600)
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(LONGEST)
        connecting = program(start, text, silent.getsockname()[1])
        assert connecting.line() == "connects"
        peer, _ = silent.accept()
        with peer:
            # Shorter than a client waits for an answer.
            peer.settimeout(5)
            connecting.process.send_signal(signal.SIGINT)
            while peer.recv(65536):
                pass
            assert connecting.line() == "interrupted"


def test_a_client_that_connects_is_given_up_with_its_task():
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.setblocking(False)
            client = AsyncClient("client", "127.0.0.1", silent.getsockname()[1])
            connecting = asyncio.ensure_future(client.connect())
            peer, _ = await asyncio.wait_for(loop.sock_accept(silent), LONGEST)
            with peer:
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting

                async def end():
                    while await loop.sock_recv(peer, 65536):
                        pass

                # Shorter than a client waits for an answer.
                await asyncio.wait_for(end(), 5)
            # It may be connected again.
            with pytest.raises(failures.InitializationError):
                silent.close()
                await client.connect()

    asyncio.run(main())


def test_a_stop_that_is_cancelled_goes_on_and_a_second_waits_for_it():
    async def main():
        began, may_end = asyncio.Event(), asyncio.Event()

        @callback
        async def nap():
            began.set()
            await may_end.wait()
            return "slept"

        service = AsyncService("service", "127.0.0.1", 0)
        await service.start()
        async with AsyncClient("client", "127.0.0.1", service.port) as conn:
            call = asyncio.ensure_future(conn.rpc().nap())
            await began.wait()
            first = asyncio.ensure_future(service.stop())
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            second, again = asyncio.ensure_future(service.stop()), asyncio.ensure_future(service.start())
            done, _ = await asyncio.wait([second, again], timeout=0.2)
            assert not done and not service._stop_event.is_set()
            may_end.set()
            assert await call == "slept"
            await second
            await again
            assert service._conn_num is not None and not service._stop_event.is_set()
            await service.stop()

    asyncio.run(asyncio.wait_for(main(), LONGEST))


def test_nodes_begin_and_end_though_the_threads_of_the_loop_are_busy():
    may_end = concurrent.futures.Future()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, may_end.result)
        async with AsyncRouter("router", "127.0.0.1", 0) as router:
            async with AsyncClient("client", "127.0.0.1", router.port) as conn:
                assert list(conn.members()) == ["client"]
        async with AsyncService("service", "127.0.0.1", 0):
            pass
        may_end.set_result(None)
        await busy

    try:
        asyncio.run(asyncio.wait_for(main(), LONGEST))
    finally:
        if not may_end.done():
            may_end.set_result(None)
