"""Calls of every style, in one process."""

import sys
import textwrap
import threading
import time

import pytest

from daffi_rs import Client, Incoming, Router, SerdeFormat, callback, current_call
from daffi_rs import exceptions as failures


def test_errors_bear_the_name_of_their_class_and_derive_from_remote_call_error(network):
    class OwnError(Exception):
        pass

    @callback
    def fail(kind):
        raise {"value": ValueError("bad"), "key": KeyError("k"), "own": OwnError("mine")}[kind]

    conn = network()
    for kind, name, text in [("value", "ValueError", "bad"), ("key", "KeyError", "'k'"), ("own", "OwnError", "mine")]:
        with pytest.raises(failures.RemoteCallError) as raised:
            conn.rpc().fail(kind)
        assert (type(raised.value).__name__, str(raised.value)) == (name, text)
        assert (raised.value.receiver, raised.value.method) == ("service", "fail")
        assert not isinstance(raised.value, ValueError)
    with pytest.raises(failures.RemoteCallError, match="missing 1 required positional argument"):
        conn.rpc().fail()


def test_timeouts_are_exact_and_are_timeout_errors(network):
    @callback
    def nap(seconds):
        time.sleep(seconds)

    conn = network()
    with pytest.raises(TimeoutError) as raised:
        conn.rpc(timeout=0.25).nap(1)
    error = raised.value
    assert isinstance(error, failures.CallTimeout)
    assert (error.call, error.method, error.timeout, error.receivers) == ("rpc call", "nap", 0.25, {"service"})


def test_what_cannot_be_reached_is_said_at_once(network):
    @callback
    def there():
        pass

    conn = network()
    for call in (conn.rpc(timeout=5).absent, conn.rpc(receiver="nobody").there, conn.cast().absent):
        with pytest.raises(failures.TransmissionFailure):
            call()
    with pytest.raises(failures.TransmissionFailure):
        conn.stream().absent([b""])


def test_cast_gives_results_and_errors_by_name(network):
    @callback
    def half(number):
        if number % 2:
            raise ValueError("odd")
        return number // 2

    conn = network()
    assert conn.cast(timeout=5).half(4) == {"service": 2}
    assert conn.cast(receiver="service").half(4) == conn.cast(receiver=["service"]).half(4) == {"service": 2}
    answers = conn.cast().half(3)
    assert type(answers["service"]).__name__ == "ValueError"


def test_streams_send_chunks_and_stop_at_an_error(network):
    heard = []

    @callback
    def take(chunk):
        heard.append(chunk)
        if chunk == b"3":
            raise ValueError("three")

    conn = network()
    assert conn.stream().take(str(n).encode() for n in range(3)) is None
    assert heard == [b"0", b"1", b"2"]
    with pytest.raises(failures.RemoteCallError, match="three") as raised:
        conn.stream().take([b"3", b"4"])
    assert raised.value.chunk == 0 and b"4" not in heard
    conn.stream(serde=SerdeFormat.PICKLE).take(["one", "two"])
    assert heard[-2:] == ["one", "two"]

    def broken():
        yield b"5"
        raise LookupError("the source failed")

    with pytest.raises(LookupError, match="the source failed"):
        conn.stream().take(broken())


def test_nowait_returns_at_once_and_is_one_call(network):
    heard, done = [], threading.Event()

    @callback
    def take(value):
        heard.append(value)
        if value == "end":
            done.set()

    conn = network()
    assert conn.rpc_nowait().take([1, 2]) is None
    conn.cast_nowait().take("cast")
    conn.stream_nowait().take([b"a", b"b"])
    conn.rpc_nowait().take("end")
    assert done.wait(10)
    assert heard == [[1, 2], "cast", b"a", b"b", "end"]


def test_generators_give_results_one_by_one(network):
    closed = threading.Event()

    @callback
    def count(to):
        try:
            for number in range(to):
                yield number
        finally:
            closed.set()

    @callback
    async def squares(to):
        for number in range(to):
            yield number * number

    @callback
    def failing():
        yield 1
        raise ValueError("after one")

    conn = network()
    assert list(conn.rpc().count(1000)) == list(range(1000))
    assert list(conn.rpc().squares(4)) == [0, 1, 4, 9]
    closed.clear()
    with conn.rpc().count(10**12) as endless:
        assert [next(endless), next(endless)] == [0, 1]
    assert closed.wait(10), "closing the results closes the generator"
    results = iter(conn.rpc().failing())
    assert next(results) == 1
    with pytest.raises(failures.RemoteCallError, match="after one"):
        next(results)


def test_a_plain_answer_is_a_stream_of_one_item(network):
    @callback
    def seven():
        return 7

    assert list(network().rpc(results=True).seven()) == [7]


def test_a_slow_reader_of_results_leaves_the_worker_to_others(network):
    @callback
    def endless():
        while True:
            yield b"x" * 1000

    @callback
    def quick():
        return "done"

    conn = network()
    results = conn.rpc().endless()
    assert next(results) == b"x" * 1000
    assert conn.rpc(timeout=10).quick() == "done"
    results.close()


def test_arguments_are_sent_one_by_one(network):
    @callback
    def total(start, numbers: Incoming[int]):
        return start + sum(numbers)

    conn = network()
    assert conn.rpc(items=range(1000)).total(5) == 5 + sum(range(1000))
    assert conn.rpc().total(5, [1, 2]) == 8, "a list in their place"


def test_members_come_and_go():
    router = Router("router", "127.0.0.1", 0)
    events, changed = [], threading.Condition()

    def note(kind):
        def handler(member):
            with changed:
                events.append((kind, member))
                changed.notify_all()

        return handler

    assert router.on_member_added(note("added")) is not None
    router.on_member_removed(note("removed"))
    router.start()
    try:
        with Client("visitor", "127.0.0.1", router.port) as conn:
            conn.wait_for_members("visitor", timeout=10)
            with pytest.raises(TimeoutError, match="nobody"):
                conn.wait_for_members("nobody", timeout=0.1)
            assert "visitor" in router.members()
        with changed:
            assert changed.wait_for(lambda: ("removed", "visitor") in events, 10)
        assert events[0] == ("added", "visitor")
    finally:
        router.stop()


def test_clients_behind_a_router_call_each_other():
    router = Router("router", "127.0.0.1", 0)
    router.start()

    @callback
    def whoami():
        return current_call().node.app_name

    first, second = (Client(name, "127.0.0.1", router.port) for name in ("first", "second"))
    try:
        one, two = first.connect(), second.connect()
        one.wait_for_members("second", timeout=10)
        assert one.rpc(timeout=5).whoami() == "second"
        assert two.rpc(timeout=5, receiver="first").whoami() == "first"
        assert one.cast(timeout=5).whoami() == {"second": "second"}
    finally:
        first.stop()
        second.stop()
        router.stop()


def test_the_engine_logs_to_logging(network, caplog):
    @callback
    def fail():
        raise ValueError("nobody hears this")

    conn = network()
    conn.rpc_nowait().fail()
    deadline = time.monotonic() + 10
    while not any("nobody hears this" in record.getMessage() for record in caplog.records):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert caplog.records[0].name == "daffi_rs.engine"


@pytest.mark.parametrize("style", ["rpc", "rpc_nowait", "cast", "cast_nowait", "stream", "stream_nowait"])
def test_an_option_that_is_none_is_refused(network, style):
    conn = network()
    with pytest.raises(TypeError, match="timeuot"):
        getattr(conn, style)(timeuot=5)


@pytest.fixture
def workers(start):
    """A Router, a connection to it, and what starts a worker that tells its name."""
    text = """
    import sys
    from daffi_rs import Client, callback
    @callback
    def name():
        return sys.argv[1]
    client = Client(sys.argv[1], "127.0.0.1", int(sys.argv[2]))
    client.connect()
    print("ready", flush=True)
    client.join()
    """
    with Router("router", "127.0.0.1", 0) as router, Client("caller", "127.0.0.1", router.port) as conn:

        def worker(name):
            program = start([sys.executable, "-c", textwrap.dedent(text), name, str(router.port)])
            return program

        yield conn, worker


def test_the_router_chooses_and_keeps_calls_for_who_comes(workers):
    conn, worker = workers
    ends = []
    waiting = threading.Thread(target=lambda: ends.append(conn.rpc(timeout=60, wait=True).name()))
    waiting.start()
    assert worker("one").line() == "ready"
    waiting.join(60)
    assert ends == ["one"]
    assert worker("two").line() == "ready"
    conn.wait_for_members("one", "two", timeout=60)
    assert {conn.rpc(timeout=60, by_router=True).name() for _ in range(100)} == {"one", "two"}
    # Calls of one key go to one, those of several to both.
    by_key = {key: {conn.rpc(timeout=60, key=key).name() for _ in range(5)} for key in "abcdefghijkl"}
    assert all(len(names) == 1 for names in by_key.values())
    assert set().union(*by_key.values()) == {"one", "two"}


@pytest.mark.parametrize(
    "options",
    [
        {"receiver": "one", "by_router": True},
        {"receiver": "one", "key": "a"},
        {"key": "a", "by_router": True},
        {"key": "a", "wait": True},
    ],
)
def test_one_option_says_who_gets_a_call(workers, options):
    conn, _ = workers
    with pytest.raises(ValueError, match="one of them says who gets the call"):
        conn.rpc(**options)
