"""What is exposed, how it runs, and what it knows of its calls, in one process."""

import threading
import time

import pytest

from daffi_rs import alias, callback, current_call, local
from daffi_rs import exceptions as failures


def test_callbacks_know_their_call(network):
    @callback
    def whoami():
        call = current_call()
        return call.caller, call.headers, call.time_left is not None, call.cancelled, call.name

    answer = network().rpc(timeout=5, headers={"token": "t"}).whoami()
    assert answer == ("client", {"token": "t"}, True, False, "whoami")
    with pytest.raises(LookupError):
        current_call()


def test_a_callback_sees_that_nobody_waits(network):
    seen, gave_up = threading.Event(), threading.Event()

    @callback
    def work():
        call = current_call()
        while not call.cancelled:
            time.sleep(0.01)
        seen.set()
        # An answer as its time runs out could still be the first.
        gave_up.wait(10)

    with pytest.raises(TimeoutError):
        network().rpc(timeout=0.1).work()
    gave_up.set()
    assert seen.wait(10)


def test_async_callbacks_run_on_plain_nodes(network):
    @callback
    async def double(number):
        return 2 * number

    assert network().rpc(timeout=5).double(21) == 42


def test_classes_are_exposed_by_their_public_methods(network):
    @callback
    class Text:
        def __init__(self):
            self.calls = 0

        def upper(self, text):
            self.calls += 1
            return text.upper()

        def count(self):
            return self.calls

        @staticmethod
        def plain():
            return "static"

        @local
        def reset(self):
            self.calls = 0

        def _private(self):
            pass

    conn = network()
    assert (conn.rpc().upper("a"), conn.rpc().count(), conn.rpc().plain()) == ("A", 1, "static")
    assert conn.members()["service"] == ["count", "plain", "upper"]
    assert Text().count() == 0


def test_decorators_with_and_without_parentheses(network):
    @callback()
    def one():
        """Its words."""
        return 1

    @callback(name="zwei")
    def two():
        return 2

    @callback
    @alias("drei")
    def three():
        return 3

    @alias("vier")
    @callback
    def four():
        return 4

    class Object:
        def five(self):
            return 5

    callback(Object().five)
    assert (one(), one.__name__, one.__doc__) == (1, "one", "Its words.")
    rpc = network().rpc()
    assert [rpc.one(), rpc.zwei(), rpc.drei(), rpc.three(), rpc.vier(), rpc.five()] == [1, 2, 3, 3, 4, 5]


def test_what_cannot_be_a_callback_is_refused():
    with pytest.raises(failures.InitializationError, match="lambda"):
        callback(lambda: 1)

    @callback
    def once():
        pass

    with pytest.raises(failures.InitializationError, match="already registered"):
        callback(once.func)


def test_callbacks_that_are_registered_later_are_exposed(network):
    @callback
    def first():
        return 1

    conn = network()

    @callback
    def second():
        return 2

    assert conn.rpc(timeout=10, wait=True).second() == 2


def test_workers_run_that_many_callbacks_at_once(network):
    barrier = threading.Barrier(3, timeout=10)

    @callback
    def meet():
        return barrier.wait()

    conn, results = network(workers=3), []
    threads = [threading.Thread(target=lambda: results.append(conn.rpc(timeout=10).meet())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1, 2]


def test_a_callback_takes_the_place_of_one_of_its_name_as_tests_do_it(network):
    from daffi_rs.registry._executor_registry import EXECUTOR_REGISTRY

    def expose(value):
        @callback
        def number():
            return value

    expose(1)
    conn = network()
    assert conn.rpc().number() == 1
    EXECUTOR_REGISTRY.registry.clear()
    expose(2)
    assert conn.rpc().number() == 2
    EXECUTOR_REGISTRY.subscribers.clear()
    EXECUTOR_REGISTRY.registry.clear()
    expose(3)
    assert conn.rpc().number() == 3


def test_a_callback_that_exits_ends_its_call_and_not_its_node(network):
    @callback
    def leave():
        raise SystemExit("good bye")

    conn = network()
    for _ in range(2):
        with pytest.raises(failures.RemoteCallError, match="good bye") as raised:
            conn.rpc(timeout=10).leave()
        assert type(raised.value).__name__ == "SystemExit"
