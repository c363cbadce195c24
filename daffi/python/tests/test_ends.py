"""How processes end whose nodes still run, and what a child that was forked may use of its parent's."""

import signal

from conftest import SERVE, program

import daffi_rs
from daffi_rs import Client

REPEATING = """
    import sys, threading, time
    from daffi_rs import Client, SerdeFormat, Service, callback

    @callback
    def echo(value):
        return value

    @callback
    def count(to):
        yield from range(to)

    service = Service("service", "127.0.0.1", 0, workers=2)
    service.start()
    conn = Client("client", "127.0.0.1", service.port).connect()

    class Slow:
        def __reduce__(self):
            # Others have the lock meanwhile.
            time.sleep(0.0001)
            return list, ()

    def forever(call):
        while True:
            try:
                call()
                began.release()
            except Exception:
                pass

    calls = [
        lambda: conn.rpc().echo(1),
        lambda: conn.rpc(serde=SerdeFormat.MSGPACK).echo(b"x" * 100_000),
        lambda: conn.rpc().echo({("a", 1): [1]}),
        lambda: conn.rpc().echo(Slow()),
        lambda: list(conn.rpc().count(5)),
        lambda: conn.stream(serde=SerdeFormat.PICKLE).echo([Slow(), 2, 3]),
        lambda: conn.rpc_nowait().echo(1),
    ]
    began = threading.Semaphore(0)
    for call in calls:
        threading.Thread(target=forever, args=(call,), daemon=True).start()
    for _ in range(40):
        began.acquire()
    print("ends", flush=True)
"""


def test_an_interpreter_ends_though_daemons_call_on_and_on(start):
    # Python ends threads that come back from the engine meanwhile, and with them the process.
    for _ in range(3):
        running = [program(start, REPEATING) for _ in range(4)]
        for ending in running:
            assert ending.finish() == ["ends"]


def test_a_handler_that_was_registered_before_may_wait_for_a_thread_that_calls(start):
    text = """
    import atexit, threading

    def end():
        stopped.set()
        thread.join()
        print("joined", flush=True)

    atexit.register(end)
    stopped = threading.Event()
    from daffi_rs import Client, Service, callback

    @callback
    def echo(value):
        return value

    service = Service("service", "127.0.0.1", 0)
    service.start()
    conn = Client("client", "127.0.0.1", service.port).connect()
    called = threading.Event()

    def repeat():
        while not stopped.is_set():
            try:
                conn.rpc().echo(1)
                called.set()
            except Exception:
                pass

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    called.wait()
    """
    assert program(start, text).finish() == ["joined"]


def test_a_child_of_a_thread_that_called_is_ended_by_signals(start):
    text = """
    import os, signal, sys, threading, time
    from daffi_rs import Client, Service, callback

    @callback
    def nap(seconds):
        time.sleep(seconds)
        return seconds

    service = Service("service", "127.0.0.1", 0, workers=2)
    service.start()
    conn = Client("client", "127.0.0.1", service.port).connect()

    def fork():
        conn.rpc().nap(0)
        child = os.fork()
        if child == 0:
            own = Client("child", "127.0.0.1", service.port).connect()
            signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
            print("waits", flush=True)
            own.rpc().nap(3600)
            os._exit(0)
        time.sleep(0.5)
        os.kill(child, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    os._exit(0)
    """
    assert program(start, text).finish() == ["waits", "7"]


def test_results_and_arguments_that_a_child_inherited_say_so(start):
    text = """
    import os, sys
    from daffi_rs import Client, Incoming, Service, callback

    @callback
    def count(to):
        yield from range(to)

    @callback
    def total(numbers: Incoming):
        first = next(numbers)
        child = os.fork()
        if child == 0:
            try:
                next(numbers)
            except RuntimeError as error:
                print("iterator of arguments" in str(error), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        return first + sum(numbers)

    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        results = conn.rpc(results=True).count(1000)
        print(next(results), flush=True)
        child = os.fork()
        if child == 0:
            try:
                next(results)
            except RuntimeError as error:
                print("iterator of results" in str(error), flush=True)
            results.close()
            del results
            print("child", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(sum(results), flush=True)
        print(conn.rpc(items=range(5)).total(), flush=True)
    """
    assert program(start, text).finish() == ["0", "True", "child", str(sum(range(1000))), "True", "10"]


def test_sigterm_in_compat_mode_ends_the_program_whatever_a_node_does(start):
    text = SERVE + """
    class Stubborn(Service):
        def _stop_by_signal(self):
            raise ValueError("it does not stop")

    from daffi_rs import _keeping
    others = [Stubborn(f"stubborn {n}", "127.0.0.1", 0) for n in range(3)]
    for other in others:
        other.start()
    # The signal finds the main thread where it holds what stopping needs.
    with _keeping._lock:
        print("waits", flush=True)
        time.sleep(3600)
    """
    serving = program(start, text, env={"DAFFI_RS_COMPAT": "1"})
    serving.line()
    assert serving.line() == "waits"
    assert serving.stop(signal.SIGTERM) == []


def test_compat_leaves_nodes_alone_that_were_made_before():
    strict = Client("strict", "127.0.0.1", 1, tls=True)
    daffi_rs._compat._on = True
    try:
        lax = Client("lax", "127.0.0.1", 1, tls=True)
        assert not strict._tls().unverified and not strict._tls().any_host
        assert lax._tls().unverified and lax._tls().any_host
    finally:
        daffi_rs._compat._on = False
    assert lax._tls().unverified
