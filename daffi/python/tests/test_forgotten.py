"""Nodes that a program forgot, and those that a child inherits by a fork."""

import asyncio
import gc
import os
import sys
import textwrap
import threading
import time
import weakref

import pytest

import daffi_rs.aio
from daffi_rs import Client, Router, Service, _keeping, callback
from daffi_rs import exceptions as failures
from daffi_rs.registry._executor_registry import EXECUTOR_REGISTRY


def eventually(what):
    until = time.monotonic() + 30
    while not what():
        assert time.monotonic() < until, "it does not come true"
        time.sleep(0.01)


def running():
    return {node.app_name for node in _keeping.alive()}


def test_a_lost_client_ends_as_a_newer_one_of_its_name_begins():
    with Router("router", "127.0.0.1", 0) as router:
        older = Client("caller", "127.0.0.1", router.port)
        conn = older.connect()
    eventually(lambda: older._disconnected)
    newer = Client("caller", "localhost", router.port)
    with pytest.raises(failures.InitializationError):
        newer.connect()
    assert not older._disconnected and "caller" not in running()
    with pytest.raises(failures.Disconnected):
        conn.rpc().anything()
    with pytest.raises(failures.Disconnected):
        older.join()
    # It may begin again.
    with Router("router", "127.0.0.1", router.port):
        older.connect()
        assert older._connection_error is None
        older.stop()


def test_a_connected_client_keeps_its_name_until_another_takes_it():
    with Router("router", "127.0.0.1", 0) as router, Router("other", "127.0.0.1", 0) as other:
        client = Client("caller", "127.0.0.1", router.port)
        client.connect()
        with Client("caller", "127.0.0.1", other.port):
            assert client._conn_num is not None
        client.stop()


def test_results_keep_their_client():
    @callback
    def count(to):
        yield from range(to)

    with Service("service", "127.0.0.1", 0, grace=0.1) as service:
        client = Client("reader", "127.0.0.1", service.port)
        results = client.connect().rpc(results=True).count(1000)
        # It has no callback for which it would be kept.
        client._runner.executors.clear()
        assert next(results) == 0
        found = weakref.ref(client)
        del client
    eventually(lambda: found()._is_lost())
    with Router("router", "127.0.0.1", 0):
        gc.collect()
        assert found() is not None, "who reads results has their client"
    results.close()
    with Router("router", "127.0.0.1", 0):
        gc.collect()
        assert found() is None
    eventually(lambda: not any(thread.name.startswith("daffi-worker") for thread in threading.enumerate()))


def test_nobody_comes_back_for_a_client_that_was_forgotten():
    with Router("router", "127.0.0.1", 0) as router:
        Client("ghost", "127.0.0.1", router.port).connect()
        kept = Client("kept", "127.0.0.1", router.port)
        kept.connect()
        gc.collect()
        assert running() == {"router", "ghost", "kept"}
    eventually(lambda: all(client._is_lost() for client in _keeping.alive()))
    with Router("router", "127.0.0.1", router.port) as router:
        assert running() == {"router", "kept"}
        eventually(lambda: "kept" in router.members())
        # Those that are kept are told of callbacks as before.
        assert len(EXECUTOR_REGISTRY.subscribers) == 1

        @callback
        def late():
            return 1

        with Client("other", "127.0.0.1", router.port) as conn:
            assert conn.rpc(timeout=10, wait=True, receiver=None).late() == 1
        kept.stop()


def test_a_forgotten_client_that_serves_comes_back():
    @callback
    def serve():
        return 1

    with Router("router", "127.0.0.1", 0) as router:
        Client("worker", "127.0.0.1", router.port).connect()
    eventually(lambda: all(client._is_lost() for client in _keeping.alive()))
    with Router("router", "127.0.0.1", router.port) as router:
        eventually(lambda: router.members().get("worker") == ["serve"])
    for client in _keeping.alive():
        client.stop()


def test_what_was_on_a_loop_that_is_closed_ends():
    @callback
    def serve():
        return 1

    async def forgotten(port):
        await daffi_rs.aio.AsyncClient("ghost", "127.0.0.1", port).connect()

    async def kept(port):
        return await daffi_rs.aio.AsyncClient("kept", "127.0.0.1", port).connect()

    with Router("router", "127.0.0.1", 0) as router:
        asyncio.run(forgotten(router.port))
        conn = asyncio.run(kept(router.port))
        gc.collect()
        with Client("caller", "127.0.0.1", router.port) as caller:
            eventually(lambda: "ghost" not in router.members())
            assert "kept" in router.members()
            caller.wait_for_members("kept", timeout=10)
        asyncio.run(conn.client.stop())
        del conn
        eventually(lambda: not router.members())
        assert EXECUTOR_REGISTRY.subscribers == []


FORKING = """
    import os, sys, threading
    from daffi_rs import Client, Service, callback
    from daffi_rs.registry._executor_registry import EXECUTOR_REGISTRY

    @callback
    def early():
        return os.getpid()

    service = Service("service", "127.0.0.1", 0)
    service.start()
    with Client("client", "127.0.0.1", service.port) as conn:
        parent = conn.rpc(timeout=10).early()
        child = os.fork()
        if child == 0:
            # All that a child may do beside a call of what it inherited.
            print(EXECUTOR_REGISTRY.subscribers, conn.client._conn_num, service._conn_num, repr(conn.client)[:7], flush=True)

            @callback
            def late():
                return os.getpid()

            own = Service("own", "127.0.0.1", 0)
            own.start()
            with Client("client", "127.0.0.1", own.port) as mine:
                print(mine.rpc(timeout=10).late() == mine.rpc(timeout=10).early() == os.getpid(), flush=True)
            for use in (conn.rpc().early, conn.members, service.join, conn.client.connect):
                try:
                    use()
                except RuntimeError as error:
                    print("forked" in str(error) or "already connected" in str(error), flush=True)
            own.stop()
            # The block ends in the child, too.
            sys.exit(0)
        print(os.waitpid(child, 0)[1], flush=True)
        print(conn.rpc(timeout=10).early() == parent)

        @callback
        def later():
            return "later"

        print(conn.rpc(timeout=10, wait=True).later())
    service.stop()
"""


def test_a_child_registers_callbacks_of_its_own(start, tmp_path):
    path = tmp_path / "forking.py"
    path.write_text(textwrap.dedent(FORKING))
    lines = start([sys.executable, str(path)]).finish()
    assert lines == ["[] None None <Client", "True", "True", "True", "True", "True", "0", "True", "later"]


ENDING = """
    import logging, os, sys, threading
    from daffi_rs import Client, Service

    heard = threading.Event()

    class Lines(logging.Handler):
        def emit(self, record):
            if os.getpid() == child:
                print("heard", flush=True)
                heard.set()

    child = None
    logging.getLogger("daffi_rs").addHandler(Lines())
    logging.getLogger("daffi_rs").setLevel(logging.DEBUG)
    service = Service("service", "127.0.0.1", 0)
    service.start()
    conn = Client("client", "127.0.0.1", service.port).connect()
    if os.fork() == 0:
        child = os.getpid()
        import daffi_rs, socket
        own = Service("own", "127.0.0.1", 0)
        own.start()
        # What is no peer is told of in the log.
        with socket.create_connection(("127.0.0.1", own.port)) as sock:
            sock.sendall(b"\\xff" * 100)
            sock.recv(100)
        # The line may come behind the end of the connection that it is about.
        heard.wait(60)
        daffi_rs._daffi_rs.shut_down()
        daffi_rs._log.end()
        # It has ended, rather than that nobody waits for it any more.
        print(daffi_rs._log._thread.is_alive(), flush=True)
        os._exit(0)
    print(os.wait()[1], flush=True)
    os._exit(0)
"""


def test_a_child_ends_and_logs_as_its_parent_does(start, tmp_path):
    path = tmp_path / "ending.py"
    path.write_text(textwrap.dedent(ENDING))
    lines = start([sys.executable, str(path)]).finish()
    assert "heard" in lines
    assert [line for line in lines if line != "heard"] == ["False", "0"]


def test_a_child_waits_for_no_lock_of_its_parent():
    held, done = threading.Event(), threading.Event()

    def hold():
        with EXECUTOR_REGISTRY._lock, _keeping._lock:
            held.set()
            done.wait(30)

    holding = threading.Thread(target=hold)
    holding.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        EXECUTOR_REGISTRY.register("of_the_child", len)
        _keeping.alive()
        os._exit(7)
    done.set()
    holding.join()
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 7
