"""How processes end whose nodes still run, and what a child that was forked may use of its parent's."""

import signal
import sys

import pytest
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


def test_sigterm_in_compat_mode_leaves_a_stop_its_time(start):
    text = SERVE + """
    class Runner:
        # The signal comes within the stop.
        def __init__(self, runner):
            self.runner = runner

        def __getattr__(self, name):
            return getattr(self.runner, name)

        def close(self):
            print("stops", flush=True)
            while not signals._term.heard:
                time.sleep(0.01)
            self.runner.close()
            print("stopped", flush=True)

    from daffi_rs import _signals as signals
    service._runner = Runner(service._runner)
    service.stop()
    print("never", flush=True)
    """
    serving = program(start, text, env={"DAFFI_RS_COMPAT": "1"})
    serving.line()
    assert serving.line() == "stops"
    assert serving.stop(signal.SIGTERM) == ["stopped"]


def test_a_second_sigterm_in_compat_mode_cuts_a_stop_off(start):
    text = SERVE + """
    def forever():
        del service._stop
        print("stops", flush=True)
        while not signals._term.heard:
            time.sleep(0.01)
        print("heard", flush=True)
        time.sleep(3600)

    from daffi_rs import _signals as signals
    service._stop = forever
    service.stop()
    """
    serving = program(start, text, env={"DAFFI_RS_COMPAT": "1"})
    serving.line()
    assert serving.line() == "stops"
    serving.process.send_signal(signal.SIGTERM)
    assert serving.line() == "heard"
    assert serving.stop(signal.SIGTERM) == []


@pytest.mark.parametrize("compat", [True, False])
def test_sigterm_ends_the_program_where_it_joins_in_compat_mode(start, compat):
    text = SERVE + """
    class Waits(Service):
        def _wait(self):
            print("joins", flush=True)
            return super()._wait()

    other = Waits("other", "127.0.0.1", 0)
    other.start()
    other.join()
    print(other._conn_num, flush=True)
    """
    serving = program(start, text, env={"DAFFI_RS_COMPAT": "1" if compat else ""})
    serving.line()
    assert serving.line() == "joins"
    assert serving.stop(signal.SIGTERM) == ([] if compat else ["None"])


@pytest.mark.parametrize("compat", [True, False])
def test_sigterm_ends_a_program_of_asyncio_where_it_joins_in_compat_mode(start, compat):
    text = """
    import asyncio
    from daffi_rs.aio import Service

    class Waits(Service):
        async def _end_of(self):
            print("joins", flush=True)
            return await super()._end_of()

    async def main():
        service = Waits("service", "127.0.0.1", 0)
        await service.start()
        await service.join()
        print("joined", flush=True)

    asyncio.run(main())
    """
    serving = program(start, text, env={"DAFFI_RS_COMPAT": "1" if compat else ""})
    assert serving.line() == "joins"
    assert serving.stop(signal.SIGTERM) == ([] if compat else ["joined"])


#: Whether a thread of this process runs an engine, in programs that import this first.
ENGINES = """
    import atexit, pathlib, threading, time

    def engines():
        names = []
        for task in pathlib.Path("/proc/self/task").iterdir():
            try:
                names.append((task / "comm").read_text().strip())
            except OSError:
                pass
        return names.count("daffi-engine")

    def until(is_so):
        while not is_so():
            time.sleep(0.005)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the names of threads are looked up in /proc")
@pytest.mark.parametrize("style", ["send", "stream", "stream_nowait"])
def test_a_generator_that_the_end_finds_at_work_ends_its_call_with_an_error(start, style):
    call = {
        "send": "conn.rpc(items=items(), timeout=60).total()",
        "stream": "conn.stream(timeout=60, serde=SerdeFormat.PICKLE).nap(items())",
        "stream_nowait": "conn.stream_nowait(serde=SerdeFormat.PICKLE).nap(items())",
    }[style]
    text = ENGINES + f"""
    def end():
        thread.join()
        print("joined", flush=True)

    # It is called last.
    atexit.register(end)
    from daffi_rs import Client, Incoming, SerdeFormat, Service, callback

    @callback
    def total(numbers: Incoming):
        return sum(numbers)

    @callback
    def nap(number):
        return number

    service = Service("service", "127.0.0.1", 0, workers=2)
    service.start()
    conn = Client("client", "127.0.0.1", service.port).connect()
    began = threading.Event()

    def items():
        yield 0
        began.set()
        until(lambda: not engines())
        yield 0
        yield 0

    def work():
        try:
            {call}
            print("no error", flush=True)
        except BaseException as error:
            print(type(error).__name__, flush=True)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    began.wait()
    """
    ending = program(start, text)
    assert ending.finish() == ["RuntimeError", "joined"]
    assert "panicked" not in ending.story("")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the names of threads are looked up in /proc")
@pytest.mark.parametrize("runs", [True, False])
def test_no_engine_is_started_while_the_interpreter_ends(start, runs):
    text = ENGINES + f"""
    def end():
        print(engines(), flush=True)

    atexit.register(end)

    def wait():
        # The last nodes have begun to stop, or there are none.
        stopping.set()
        if {runs}:
            until(lambda: not repeated.locked())
            return
        repeated.acquire()

    from daffi_rs import Client, Service, callback

    stopping, repeated = threading.Event(), threading.Lock()
    repeated.acquire()

    def nap():
        stopping.wait()
        until(lambda: tried)
        return 1

    callback(nap)

    def repeat():
        stopping.wait()
        for _ in range(20):
            try:
                Service("late", "127.0.0.1", 0).start()
            except Exception:
                pass
            tried.append(1)
        repeated.release()

    tried = []
    threading.Thread(target=repeat, daemon=True).start()
    if {runs}:
        service = Service("service", "127.0.0.1", 0, workers=2)
        service.start()
        conn = Client("client", "127.0.0.1", service.port).connect()
        conn.rpc_nowait().nap()
        import daffi_rs
        atexit.register(stopping.set)
    else:
        # It is called after the engine would have been ended.
        import daffi_rs
        atexit.unregister(daffi_rs._daffi_rs.shut_down)
        atexit.register(wait)
        atexit.register(daffi_rs._daffi_rs.shut_down)
    """
    assert program(start, text).finish() == ["0"]


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
