"""What callbacks raise, and how they wait, takes no worker of a node along."""

import asyncio
import contextlib
import queue
import threading
import time
import types

import pytest

from daffi_rs import Client, Incoming, Router, SerdeFormat, Service, _runner, callback
from daffi_rs import exceptions as failures
from daffi_rs.aio import AsyncClient, AsyncService

LONGEST = 30


def until(condition):
    """Waits for a condition; fails when it does not come."""
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.001)


class Named(type):
    @property
    def __name__(cls):
        return "a\0b\ud800"


class Odd(Exception, metaclass=Named):
    __module__ = None


class Silent(Exception):
    def __str__(self):
        raise LookupError("no words")


class Interrupting(Exception):
    def __str__(self):
        raise SystemExit(1)


ODD = {"odd": Odd("\udc00"), "silent": Silent(), "interrupting": Interrupting(), "exit": SystemExit("\ud800")}


def expose():
    @callback
    def add(a, b):
        return a + b

    @callback
    def fail(kind):
        raise ODD[kind]

    @callback
    def rows(kind):
        yield 1
        raise ODD[kind]


def expose_async():
    @callback
    async def add(a, b):
        return a + b

    @callback
    async def fail(kind):
        raise ODD[kind]

    @callback
    async def rows(kind):
        yield 1
        raise ODD[kind]


@pytest.mark.parametrize("kind", ODD)
def test_errors_without_words_take_no_worker_along(kind):
    expose()
    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        for _ in range(3):
            with pytest.raises(failures.RemoteCallError):
                conn.rpc(timeout=LONGEST).fail(kind)
            with pytest.raises(failures.RemoteCallError):
                list(conn.rpc(timeout=LONGEST).rows(kind))
        assert conn.rpc(timeout=LONGEST).add(1, 2) == 3


@pytest.mark.parametrize("kind", [kind for kind in ODD if kind != "exit"])
def test_errors_without_words_take_nothing_along_on_a_loop(kind):
    async def program():
        expose_async()
        async with AsyncService("service", "127.0.0.1", 0) as service:
            async with AsyncClient("client", "127.0.0.1", service.port) as conn:
                for _ in range(3):
                    with pytest.raises(failures.RemoteCallError):
                        await conn.rpc(timeout=LONGEST).fail(kind)
                    with pytest.raises(failures.RemoteCallError):
                        [row async for row in conn.rpc(timeout=LONGEST).rows(kind)]
                assert await conn.rpc(timeout=LONGEST).add(1, 2) == 3

    asyncio.run(asyncio.wait_for(program(), LONGEST))


#: A name that cannot travel back in the words of an error, beside what JSON has not.
HALF = {"\ud800": float("nan")}


def test_a_name_of_half_a_character_takes_no_worker_along():
    expose()
    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        for serde in (SerdeFormat.JSON, SerdeFormat.PICKLE):
            with pytest.raises((failures.RemoteCallError, failures.TransmissionFailure)):
                conn.rpc(timeout=LONGEST, serde=serde).add(**HALF)
        assert conn.rpc(timeout=LONGEST).add(1, 2) == 3


def test_a_name_of_half_a_character_takes_no_other_call_along_on_a_loop():
    async def program():
        expose_async()
        async with AsyncService("service", "127.0.0.1", 0) as service:
            async with AsyncClient("client", "127.0.0.1", service.port) as conn:
                for _ in range(10):
                    calls = [conn.rpc(timeout=LONGEST, serde=SerdeFormat.JSON).add(**HALF) for _ in range(5)]
                    calls += [conn.rpc(timeout=LONGEST).add(n, n) for n in range(5)]
                    ends = await asyncio.gather(*calls, return_exceptions=True)
                    assert [type(end).__name__ for end in ends[:5]] == ["TypeError"] * 5
                    assert ends[5:] == [0, 2, 4, 6, 8]

    asyncio.run(asyncio.wait_for(program(), LONGEST))


def test_a_class_that_no_class_may_be_called_is_told_and_loses_no_other_answer():
    async def program():
        expose_async()
        async with AsyncService("service", "127.0.0.1", 0) as service:
            async with AsyncClient("client", "127.0.0.1", service.port) as conn:
                for _ in range(10):
                    calls = [conn.rpc(timeout=LONGEST).fail("odd"), *(conn.rpc().add(n, n) for n in range(5))]
                    ends = await asyncio.gather(*calls, return_exceptions=True)
                    assert isinstance(ends[0], failures.RemoteCallError), ends
                    assert type(ends[0]).__name__ == "a\N{REPLACEMENT CHARACTER}b?" and str(ends[0]) == "?"
                    assert ends[1:] == [0, 2, 4, 6, 8]
                answers = await conn.cast(timeout=LONGEST).fail("odd")
                assert isinstance(answers["service"], failures.RemoteCallError)

    asyncio.run(asyncio.wait_for(program(), LONGEST))


class Asked:
    """Calls whose arguments are given one by one."""

    def __init__(self):
        self.ends, self.given, self.threads = {}, {}, []

    def call(self, conn, name, method="take"):
        given = self.given[name] = queue.Queue()

        def call():
            try:
                # With results beside them the call ends though its source gives nothing.
                [self.ends[name]] = getattr(conn.rpc(items=iter(given.get, None), results=True), method)(name)
            except Exception as error:
                self.ends[name] = error

        thread = threading.Thread(target=call, daemon=True)
        self.threads.append(thread)
        thread.start()
        return given


def desk_that(desk, reclaim):
    """The same desk with another way to reclaim what was lent."""
    same = {name: getattr(desk, name) for name in ("take", "lend", "is_idle", "close")}
    return types.SimpleNamespace(**same, reclaim=reclaim)


def lent(service):
    return sum(service._runner._lent.values())


def test_who_waits_for_an_argument_lets_another_have_the_worker_that_stands_in_line_for_it():
    got, may = {"a": threading.Event(), "b": threading.Event()}, threading.Event()

    @callback
    def take(name: str, items: Incoming[str]):
        for item in items:
            got[name].set()
            if item == "hold":
                assert may.wait(LONGEST)
        return name

    @callback
    def ping():
        return "pong"

    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        runner, asked = service._runner, Asked()
        inner, returning = runner.desk, threading.Event()

        def reclaim():
            returning.set()
            inner.reclaim()

        runner.desk = desk_that(inner, reclaim)
        first = asked.call(conn, "a")
        until(lambda: lent(service) == 1)
        second = asked.call(conn, "b")
        # B has the only worker, and waits for nothing that comes from outside.
        second.put("hold")
        assert got["b"].wait(LONGEST)
        returning.clear()
        first.put("go on")
        assert returning.wait(LONGEST)
        # A stands in line now, and B waits for its next argument, which does not come.
        may.set()
        assert got["a"].wait(LONGEST)
        assert conn.rpc(timeout=LONGEST).ping() == "pong"
        first.put(None)
        second.put(None)
        for thread in asked.threads:
            thread.join(LONGEST)
    assert asked.ends == {"a": "a", "b": "b"}


def test_a_duplex_call_that_is_given_up_keeps_no_worker():
    @callback
    def doubled(numbers: Incoming[int]):
        for number in numbers:
            yield 2 * number

    @callback
    def ping():
        return "pong"

    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        runner = service._runner
        inner, go_on, unwanted = runner.desk, runner._go_on, threading.Event()

        def reclaim():
            # The other thread, which was told that nobody wants the results, is first.
            unwanted.wait(LONGEST)
            inner.reclaim()

        def noted(kind, number, more):
            if kind == "unwanted":
                unwanted.set()
            go_on(kind, number, more)

        may_end = threading.Event()

        def numbers():
            yield 1
            may_end.wait(LONGEST)

        runner._go_on = noted
        results = conn.rpc(items=numbers(), results=True).doubled()
        assert next(results) == 2
        until(lambda: lent(service) == 1)
        runner.desk = desk_that(inner, reclaim)
        results.close()
        assert unwanted.wait(LONGEST)
        assert conn.rpc(timeout=LONGEST).ping() == "pong"
        until(lambda: lent(service) == 0)
        may_end.set()


def test_callers_that_send_nothing_leave_workers_and_places_to_others(monkeypatch):
    monkeypatch.setattr(_runner, "_MAX_LENT", 4)

    @callback
    def take(name: str, items: Incoming[str]):
        return sum(1 for _ in items)

    @callback
    def ping():
        return "pong"

    with Service("service", "127.0.0.1", 0) as service, contextlib.ExitStack() as nodes:
        conns = [nodes.enter_context(Client(f"client {n}", "127.0.0.1", service.port)) for n in range(4)]
        asked, waiting = Asked(), 0
        # By client: how many of its calls find a place to wait.
        for number, places in enumerate([2, 1, 1, 0]):
            for call in range(places + 1):
                name = f"{number} {call}"
                given = asked.call(conns[number], name)
                if call < places:
                    waiting += 1
                    until(lambda: lent(service) == waiting)
                else:
                    until(lambda: name in asked.ends)
                    refused = asked.ends.pop(name)
                    assert type(refused).__name__ == "Overloaded" and "at most 4 may wait" in str(refused), refused
                    given.put(None)
            assert conns[number].rpc(timeout=LONGEST).ping() == "pong"
        for given in asked.given.values():
            given.put(None)
        for thread in asked.threads:
            thread.join(LONGEST)
        assert list(asked.ends.values()) == [0] * 4
        until(lambda: lent(service) == 0)


class Starts:
    """Threads of a process that may have no more of them, once `none_left` is set."""

    none_left = False

    def thread(self, *args, **kwargs):
        thread = threading.Thread(*args, **kwargs)
        start = thread.start

        def start_or_fail():
            if self.none_left:
                raise RuntimeError("can't start new thread")
            start()

        thread.start = start_or_fail
        return thread


@pytest.fixture
def starts(monkeypatch):
    starts = Starts()
    same = {name: getattr(threading, name) for name in ("Lock", "RLock", "current_thread")}
    monkeypatch.setattr(_runner, "threading", types.SimpleNamespace(**same, Thread=starts.thread))
    return starts


def test_a_thread_that_cannot_be_started_costs_its_call_and_no_place(starts):
    @callback
    def take(name: str, items: Incoming[str]):
        return sum(1 for _ in items)

    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        starts.none_left, asked = True, Asked()
        asked.call(conn, "a")
        until(lambda: "a" in asked.ends)
        refused = asked.ends.pop("a")
        assert type(refused).__name__ == "Overloaded" and "no thread can be started" in str(refused), refused
        assert lent(service) == 0
        starts.none_left = False
        asked.call(conn, "b").put(None)
        until(lambda: asked.ends == {"b": 0})
        asked.given["a"].put(None)
        for thread in asked.threads:
            thread.join(LONGEST)


def test_threads_that_could_not_be_started_are_started_with_the_next_callback(starts):
    runner = _runner.Runner(Service(), 2, None)
    starts.none_left = True
    with pytest.raises(RuntimeError, match="new thread"):
        runner.add("first", None)
    assert runner._threads == []
    starts.none_left = False
    runner.add("second", None)
    assert len(runner._threads) == 2
    runner.close()


def names_of_threads():
    return {thread.name for thread in threading.enumerate()}


def test_threads_end_with_their_node():
    client, told = Client("client", "127.0.0.1", 1), []
    client.on_member_added(told.append)
    # One that cannot connect has no thread.
    for _ in range(3):
        with pytest.raises(failures.InitializationError):
            client.connect()
    assert "daffi-events" not in names_of_threads()
    with Service("service", "127.0.0.1", 0) as service:
        for _ in range(3):
            client = Client("client", "127.0.0.1", service.port)
            client.on_member_added(told.append)
            service.on_member_added(told.append)
            client.connect()
            until(lambda: told)
            client.stop()
    until(lambda: not names_of_threads() & {"daffi-events", "daffi-worker"})


def test_handlers_are_told_in_the_next_life_of_a_node_too():
    with Router("router", "127.0.0.1", 0) as router:
        told, watching = [], Client("watching", "127.0.0.1", router.port)
        watching.on_member_added(told.append)
        for life in range(3):
            watching.connect()
            with Client(f"other {life}", "127.0.0.1", router.port):
                until(lambda: f"other {life}" in told)
            watching.stop()


def test_a_call_that_cannot_begin_leaves_no_thread_with_its_items():
    @callback
    def doubled(numbers: Incoming[int]):
        for number in numbers:
            yield 2 * number

    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        for _ in range(3):
            with pytest.raises(TypeError, match="not JSON serializable"):
                conn.rpc(items=iter(int, 1), results=True, serde=SerdeFormat.JSON).doubled(object())
        until(lambda: "daffi-items" not in names_of_threads())


@pytest.mark.parametrize("size", [1 << 20, 10])
def test_large_results_are_made_when_they_can_go(size):
    made = {}

    @callback
    def rows(number):
        for _ in range(8):
            made[number] = made.get(number, 0) + 1
            yield b"x" * size

    @callback
    def ping():
        return "pong"

    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        calls = [conn.rpc(results=True).rows(number) for number in range(10)]
        until(lambda: len(made) == 10)
        for _ in range(20):
            assert conn.rpc(timeout=LONGEST).ping() == "pong"
        # Nobody takes any. A large one has come, and one is on its way; small ones are made ahead.
        assert set(made.values()) == ({2} if size > 10 else {8})
        assert [[len(row) for row in call] for call in calls] == [[size] * 8] * 10
        assert set(made.values()) == {8}


def test_one_worker_takes_calls_in_their_order_however_many_wait():
    heard = []

    @callback
    def take(number):
        heard.append(number)
        return len(heard)

    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        for number in range(5000):
            conn.rpc_nowait().take(number)
        assert conn.rpc(timeout=60).take(5000) == 5001
        conn.stream_nowait(serde=SerdeFormat.PICKLE).take(range(5001, 8000))
        while len(heard) < 8000:
            time.sleep(0.01)
    assert heard == list(range(8000))
