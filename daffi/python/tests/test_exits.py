"""What becomes of nodes, and of their threads, as programs end."""

import gc
import signal
import sys
import textwrap
import time
import weakref

import pytest

import daffi_rs
from conftest import program
from daffi_rs import Client, Service

COMPAT = {"DAFFI_RS_COMPAT": "1", "PYTHONWARNINGS": "ignore"}

STOPPED = """
    import atexit, sys
    from daffi_rs import Client, Router, Service

    class Own(Service):
        def stop(self, *args, **kwargs):
            print("stops", self.app_name, flush=True)
            super().stop(*args, **kwargs)

    atexit.register(print, "first hook", flush=True)
    never = Own("never", "127.0.0.1", 0)
    service = Own("running", "127.0.0.1", 0)
    service.start()
    done = Own("done", "127.0.0.1", 0)
    done.start()
    done.stop()
    client = Client("client", "127.0.0.1", service.port)
    client.connect()
    client.stop = lambda *_: print("stops client", flush=True)
    router = Router("router", "127.0.0.1", 0)
    router.start()
    atexit.register(print, "last hook", flush=True)
    Own("forgotten", "127.0.0.1", 0)
"""


def test_a_stop_of_its_own_is_called_as_the_program_ends(start):
    printed = program(start, STOPPED).finish()
    assert printed == ["stops done", "last hook", "stops client", "stops running", "stops never", "first hook"]


FORKED = """
    import os, sys
    from daffi_rs import Service

    class Own(Service):
        def stop(self, *args, **kwargs):
            print("stops", flush=True)
            super().stop(*args, **kwargs)

    service = Own("running", "127.0.0.1", 0)
    service.start()
    never = Own("never", "127.0.0.1", 0)
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    print("parent", flush=True)
"""


def test_a_child_stops_nothing_that_it_inherited(start):
    assert program(start, FORKED).finish() == ["parent", "stops", "stops"]


def _places():
    gc.collect()
    return sum(type(known) is daffi_rs._exit._Place for known in gc.get_objects())


def test_nodes_that_nobody_has_leave_their_places():
    known = _places()
    found = weakref.ref(Service("service", "127.0.0.1", 0))
    for _ in range(100):
        Client("client", "127.0.0.1", 1)
    assert _places() <= known and found() is None


LATER = """
    import atexit, gc
    from daffi_rs import Service

    class Own(Service):
        def stop(self, *args, **kwargs):
            print("stops", self.app_name, flush=True)
            super().stop(*args, **kwargs)

    Own("forgotten", "127.0.0.1", 0)
    gc.collect()
    atexit.register(print, "hook", flush=True)
    later = Own("later", "127.0.0.1", 0)
"""


def test_a_node_that_comes_after_one_that_was_forgotten_ends_in_its_own_turn(start):
    assert program(start, LATER).finish() == ["stops later", "hook"]


SERVES = """
    import sys
    from daffi_rs import Client, Router, Service, callback

    @callback
    def f():
        return "served"

    kind, port, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    node = Service("worker", "127.0.0.1", 0, workers=workers) if kind == "service" else Client("worker", "127.0.0.1", port, workers=workers)
    node.start() if kind == "service" else node.connect()
    import atexit
    atexit.register(print, "hook", flush=True)
    print(node.port, flush=True)
"""


@pytest.mark.parametrize("kind", ["service", "client"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_keep_a_program_alive_in_compat_mode(start, kind, number):
    router = daffi_rs.Router("router", "127.0.0.1", 0)
    router.start()
    running = program(start, SERVES, kind, router.port, 4, env=COMPAT)
    port = int(running.line())
    client = Client("caller", "127.0.0.1", port)
    conn = client.connect()
    conn.wait_for_members("worker", timeout=30)
    assert conn.rpc(timeout=30).f() == "served"
    assert running.process.poll() is None
    assert running.stop(number) == ["hook"]
    assert running.errors() == ""
    client.stop()
    router.stop()


TOLD = "the program ends, and with it what serves callbacks: worker; call join()"


def test_a_program_that_ends_while_others_rely_on_it_says_so(start):
    router = daffi_rs.Router("router", "127.0.0.1", 0)
    router.start()
    for kind, workers, env, warns in [
        ("service", 1, COMPAT, True),
        ("client", 1, COMPAT, False),
        ("service", 4, {}, True),
        # It may be one that only calls.
        ("client", 1, {}, False),
    ]:
        running = program(start, SERVES, kind, router.port, workers, env=env)
        running.finish()
        assert (TOLD in running.errors()) == warns, (kind, workers, running.errors())
    running = program(start, "import logging\nlogging.basicConfig(level=20)\n" + textwrap.dedent(SERVES), "client", router.port, 1)
    running.finish()
    assert f"INFO:daffi_rs:{TOLD}" in running.errors()
    router.stop()


@pytest.mark.parametrize(
    "end, code",
    [
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("sys.exit('config is broken')", 1),
        ("raise SystemExit(4)", 4),
        ("(lambda: sys.exit(5))()", 5),
        ("try:\n    sys.exit(6)\nfinally:\n    print('cleaned')", 6),
        ("1 / 0", 1),
        ("node.stop()", 0),
    ],
)
def test_an_end_that_is_meant_is_not_warned_of(start, end, code):
    running = program(start, textwrap.dedent(SERVES) + end, "service", 0, 1)
    running.rest()
    assert running.process.returncode == code and "the program ends" not in running.errors(), running.errors()


@pytest.mark.parametrize("file", [False, True])
def test_a_thread_that_joins_keeps_on_serving(start, tmp_path, file):
    text = textwrap.dedent(SERVES) + "import threading\nthreading.Thread(target=node.join).start()\n"
    if file:
        (tmp_path / "serves.py").write_text(text)
    argv = [sys.executable, str(tmp_path / "serves.py")] if file else [sys.executable, "-c", text]
    running = start([*argv, "service", "0", "1"])
    port = int(running.line())
    with Client("caller", "127.0.0.1", port) as conn:
        assert conn.rpc(timeout=30).f() == "served"
    running.process.kill()
    assert "the program ends" not in running.errors(), running.errors()


POOLS = """
    import asyncio, sys
    from daffi_rs import Service, callback

    @callback
    def pooled():
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: "from a pool").result()

    @callback
    async def threaded():
        return await asyncio.to_thread(lambda: "from a thread")

    service = Service("worker", "127.0.0.1", 0, workers=4)
    service.start()
    import atexit, threading
    atexit.register(print, "hook", flush=True)
    print(service.port, flush=True)
"""


def test_pools_serve_callbacks_after_the_main_thread(start):
    running = program(start, POOLS, env=COMPAT)
    with Client("caller", "127.0.0.1", int(running.line())) as conn:
        # The main thread is through once it waits for the node.
        for _ in range(20):
            assert conn.rpc(timeout=30).pooled() == "from a pool"
            assert conn.rpc(timeout=30).threaded() == "from a thread"
            time.sleep(0.01)
    assert running.stop() == ["hook"] and running.errors() == ""


PROCESSES = """
    import multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor
    from daffi_rs import Service, callback

    @callback
    def pooled():
        return pool.submit(abs, -1).result()

    if __name__ == "__main__":
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        service = Service("worker", "127.0.0.1", 0, workers=4)
        service.start()
        print(service.port, flush=True)
"""


def test_a_pool_of_processes_serves_callbacks_after_the_main_thread(start):
    running = program(start, PROCESSES, env=COMPAT)
    with Client("caller", "127.0.0.1", int(running.line())) as conn:
        for _ in range(20):
            assert conn.rpc(timeout=30).pooled() == 1
            time.sleep(0.01)
    assert running.stop() == [] and running.errors() == ""


@pytest.mark.parametrize(
    "handler, code, error",
    [
        ("lambda *_: sys.exit(7)", 7, ""),
        ("lambda *_: sys.exit()", 0, ""),
        ("lambda *_: sys.exit('told to end')", 1, "told to end"),
        ("signal.default_int_handler", 130, ""),
    ],
)
def test_a_handler_of_its_own_ends_what_is_kept_alive(start, handler, code, error):
    own = f"""
        import signal, threading, time
        class Own(Service):
            def stop(self, *args, **kwargs):
                super().stop(*args, **kwargs)
                print("stopped", flush=True)
        signal.signal(signal.SIGTERM, {handler})
        atexit.register(sys.stdout.write, "buffered")
        other = Own("other", "127.0.0.1", 0)
        other.start()
        def tell():
            # Whoever waits for the nodes hears of SIGINT.
            while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                time.sleep(0.001)
            print("ready", flush=True)
        threading.Thread(target=tell, daemon=True).start()
        sys.stdout.write("buffered ")
    """
    running = program(start, textwrap.dedent(SERVES) + textwrap.dedent(own), "service", 0, 4, env=COMPAT)
    running.line()
    assert running.line() == "buffered ready"
    running.process.send_signal(signal.SIGTERM)
    lines = running.rest()
    assert (running.process.returncode, running.errors()) == (code, error)
    assert lines == ["stopped", "bufferedhook"]
