"""What programs and tests written for daffi 3.0.1 do beside making calls, each printing the same there and here:
`python habits.py NAME`."""

import asyncio
import os
import re
import signal
import sys
import threading
import time
import types
from unittest import mock

import daffi
import daffi.aio
import daffi.exceptions
from daffi import Client, Router, SerdeFormat, Service, alias, callback, local
from daffi._rpc_proxy import BroadcastProxy, RpcProxy, StreamNowaitProxy, StreamProxy
from daffi._serialization import Serializer
from daffi.registry._executor_registry import EXECUTOR_REGISTRY
from programs import common, free_port, network, show


def words(what, function, *args, **kwargs):
    """The first line of what it raises, as tests match it."""
    try:
        print(what, function(*args, **kwargs))
    except Exception as error:
        print(what, [cls.__name__ for cls in type(error).__mro__ if cls.__name__ == "ValueError"], str(error).splitlines()[0][:20])


def private():
    """Functions that are not exposed."""

    @callback
    def _hidden():
        return "hidden"

    @callback
    @local
    def kept():
        return "kept"

    @callback
    @local()
    def kept_too():
        return "kept too"

    @callback
    def shown():
        return "shown"

    print(sorted(EXECUTOR_REGISTRY.registry), _hidden(), kept(), kept_too(), shown())

    class Lambda:
        f = lambda self: 1  # noqa: E731

    class Hidden:
        _f = lambda self: 1  # noqa: E731

        def method(self):
            return 1

    words("lambda", callback, lambda: 1)
    words("a lambda in a class", lambda: callback(Lambda) and None)
    callback(Hidden)
    print(sorted(EXECUTOR_REGISTRY.registry))
    with network() as (_, conn):
        show("hidden", conn.rpc(timeout=20)._hidden)
        show("kept", conn.rpc(timeout=20).kept)
        show("shown", conn.rpc(timeout=20).shown)


def patches():
    """What tests put in the place of callbacks is called."""

    class Base:
        def inherited(self):
            return "inherited"

    class Api(Base):
        unit = "real"

        def fetch(self, key):
            return self.unit, key

        @staticmethod
        def fixed():
            return "fixed"

        @classmethod
        def of_class(cls):
            return cls.unit

    def plain(value):
        return value

    callback(Api)
    decorated = callback(plain)
    registry = EXECUTOR_REGISTRY.registry
    with network() as (_, conn):
        rpc = conn.rpc(timeout=20)

        def all_of_them(what):
            print(what)
            for name, args in {"fetch": (1,), "fixed": (), "of_class": (), "inherited": (), "plain": (2,)}.items():
                show(name, getattr(rpc, name), *args)

        all_of_them("as they are")
        with mock.patch.object(Api, "fetch", lambda self, key: ("fake", self.unit, key)):
            show("a method", rpc.fetch, 1)
        with mock.patch.object(Api, "fetch", return_value="mocked") as fetch:
            show("a mock", rpc.fetch, 1)
            print(fetch.call_args)
        with mock.patch.object(Api, "unit", "patched"), mock.patch.object(Base, "inherited", lambda self: "patched"):
            all_of_them("data of the class")
        with mock.patch.object(Api, "fixed", staticmethod(lambda: "patched")):
            show("static", rpc.fixed)
        instance = EXECUTOR_REGISTRY.get("fetch").cls
        with mock.patch.object(instance, "fetch", side_effect=ValueError("down")):
            show("raising", rpc.fetch, 1)
        with mock.patch.object(instance, "unit", "its own"):
            show("data of the object", rpc.fetch, 1)
        with mock.patch.object(EXECUTOR_REGISTRY.get("plain"), "func", lambda value: -value):
            show("func", rpc.plain, 2)
        with mock.patch.dict(registry, {"plain": lambda value: value * 10}):
            show("the registry", rpc.plain, 2)
        with mock.patch.dict(registry, {"plain": mock.Mock(return_value="mocked")}):
            show("the registry by a mock", rpc.plain, 2)
        with mock.patch.object(EXECUTOR_REGISTRY, "get", lambda name: lambda *args: ("got", name, args)):
            show("get", rpc.plain, 2)
        all_of_them("as they were")
        Api.fetch = lambda self, key: "for good"
        show("for good", rpc.fetch, 1)
        del Api.fetch
        show("deleted", rpc.fetch, 1)
        del registry["plain"]
        show("forgotten", rpc.plain, 2)
        print(decorated(3))
        registry.clear()
        show("cleared", rpc.fixed)
        words("absent", EXECUTOR_REGISTRY.unregister, "absent")


def annotations():
    """Whatever stands behind a parameter, the callback is called."""

    class Meta(type):
        def __getattr__(cls, name):
            raise RuntimeError("no attributes")

    class Odd(metaclass=Meta):
        pass

    def free_text(x: "the number of items", y: "int, or so" = 1):
        return x, y

    def absent(x: "collections.Missing", y: "Undefined[int]" = 1) -> "nothing at all":
        return x, y

    def values(x: 5, y: [int] = 1, *more: {"a": 1}, **named: ...) -> print:
        return x, y, more, named

    def odd(x: Odd, y: types.SimpleNamespace(a=1) = 1):
        return x, y

    def failing(x: "1 / 0", y: "[][0]" = 1):
        return x, y

    for function in (free_text, absent, values, odd, failing):
        callback(function)
    with network() as (_, conn):
        for serde in (SerdeFormat.PICKLE, SerdeFormat.JSON, SerdeFormat.MSGPACK):
            for name in ("free_text", "absent", "values", "odd", "failing"):
                for _ in range(2):
                    show(name, getattr(conn.rpc(timeout=20, serde=serde), name), [1])
                show(name, getattr(conn.rpc(timeout=20, serde=serde), name), x={"a": 1}, y=2)


def proxies():
    """What can be read of a call before it is made."""
    with network() as (client, conn):
        for rpc in (conn.rpc(), conn.rpc(timeout=5, receiver="w", serde=SerdeFormat.JSON), conn.rpc_nowait("w")):
            print(rpc.timeout, rpc.receiver, rpc.serde, rpc.return_result, rpc.conn is conn, rpc._receiver, rpc)
            print(rpc.f, isinstance(rpc, RpcProxy), rpc.logger is client.logger)
        for cast in (conn.cast(3), conn.cast_nowait(["a", "b"])):
            print(cast.timeout, cast.serde, cast.return_result, cast.conn is conn, cast.f, isinstance(cast, BroadcastProxy))
        for stream in (conn.stream("w", timeout=2), conn.stream_nowait()):
            print(stream.timeout, stream.receiver, stream.serde, stream.conn is conn, stream, stream.f, stream._receiver)
        print(isinstance(conn.stream(), StreamProxy), isinstance(conn.stream_nowait(), StreamNowaitProxy))
        for style in (conn.rpc, conn.rpc_nowait, conn.stream, conn.stream_nowait):
            show("several receivers", style, receiver=["w1", "w2"])


def late():
    """What is told of a call whose time was up."""
    common()
    with network(workers=8) as (_, conn):
        for make in (lambda: conn.rpc(timeout=1).nap(3), lambda: conn.rpc(timeout=1, receiver="service").nap(3)):
            try:
                make()
            except daffi.exceptions.CallTimeout as error:
                print(error.call, error.timeout, error.receivers, error.elapsed > 0.9, str(error).splitlines()[0])
                print([re.sub(r"\d\.\d", "N", line.strip()) for line in str(error).splitlines() if "Elapsed" in line or "Call:" in line])
        try:
            conn.stream(timeout=1, serde=SerdeFormat.PICKLE).nap([3])
        except daffi.exceptions.CallTimeout as error:
            print(error.call, error.timeout, error.receivers, error.elapsed > 0.9)
        answer = conn.cast(timeout=1).nap(3)["service"]
        print(type(answer).__name__, answer.timeout, answer.receivers)


def options():
    """Options and their mistakes, as tests look at them."""
    for made in (Client, Service, Router):
        print(made(host="127.0.0.1", port=1, workers=0).workers)
    words("workers", Service("service", "127.0.0.1", free_port(), workers=0).start)
    words("workers", Client("client", "127.0.0.1", free_port(), workers=-1).connect)
    print(Client(unix_sock_path="/tmp/x", port=5).port)
    words("both", Client, host="x", unix_sock_path="/tmp/x")
    words("alias", alias, 5)
    absent = Client("absent", "127.0.0.1", port := free_port())
    try:
        absent.connect()
    except daffi.exceptions.InitializationError as error:
        print(str(error).startswith(f"Failed to connect to the server. connection info: tcp: [ host '127.0.0.1', port: {port} ]"))


def names():
    """Names that tests import and look at."""
    from daffi.utils.colors import NAMES, ansi, ansi_color, get_pairs, make_color_fn
    from daffi.utils.logger import sync_native_log_level

    print(NAMES, list(get_pairs()), ansi(0), repr(ansi_color("31", "x")), repr(make_color_fn("31;1")("x")))
    print(sync_native_log_level(), sync_native_log_level(30))
    service, client = Service("service", "127.0.0.1", free_port()), Client("client", "127.0.0.1", 1)
    print(client._on_member_added_handlers, client._on_member_removed_handlers, client._disconnected, client._joining)
    print(client._connection_error, client._stop_event.is_set(), client._task_dispatcher, service._task_dispatcher)
    print(client.on_member_added(print) is print, client._on_member_added_handlers == [print])
    print(client.logger.logger.name, client.logger.extra["app"].split()[1], len(client.logger.logger.handlers))
    print(callback(common)._func_or_class is common)
    for serde in (SerdeFormat.JSON, SerdeFormat.MSGPACK, SerdeFormat.PICKLE):
        print(Serializer.deserialize(serde, Serializer.serialize(serde, [1], a=2)[0]))
    with network() as (client, _):
        print(client._task_dispatcher.workers, client._conn_num is not None, client._stop_event.is_set())
    print(client._stop_event.is_set(), client._conn_num)


def joins():
    """Waiting for the end of nodes."""
    service = Service("service", "127.0.0.1", port := free_port())
    client = Client("client", "127.0.0.1", port)
    waits = [threading.Thread(target=node.join) for node in (service, client)]
    for wait in waits:
        wait.start()
    service.start()
    client.connect()
    time.sleep(0.3)
    print([wait.is_alive() for wait in waits], service._joining)
    client.stop()
    service.stop()
    for wait in waits:
        wait.join(20)
    print([wait.is_alive() for wait in waits], service._joining)
    client.join()
    print("joined")


def gone():
    """The end of a server, as its clients see it."""
    router = os.fork()
    port = int(sys.argv[2])
    if router == 0:
        served = Router("router", "127.0.0.1", port)
        served.start()
        served.join()
        os._exit(0)
    client = Client("client", "127.0.0.1", port)
    for _ in range(100):
        try:
            client.connect()
            break
        except daffi.exceptions.InitializationError:
            time.sleep(0.1)
    print(client._conn_num is not None)
    threading.Timer(0.5, os.kill, (router, signal.SIGKILL)).start()
    try:
        client.join()
    except daffi.exceptions.Disconnected:
        print("Disconnected")
    print(client._conn_num, isinstance(client._connection_error, (type(None), daffi.exceptions.Disconnected)))
    client.stop()


def terminated():
    """SIGTERM outside of join."""
    with network():
        print("there")
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        signal.pause()
        print("never")


def plain_data():
    """Data that is plain to Python."""
    common()

    def same(value):
        return value

    def count(value):
        return len(value)

    def inside(value):
        depth = 0
        while value:
            depth, value = depth + 1, value[0]
        return depth

    for function in (same, count, inside):
        callback(function)
    deep = []
    for _ in range(300):
        deep = [deep]
    itself = []
    itself.append(itself)
    with network() as (_, conn):
        for serde in (SerdeFormat.PICKLE, SerdeFormat.JSON, SerdeFormat.MSGPACK):
            rpc = conn.rpc(timeout=60, serde=serde)
            print(serde, rpc.count([1] * 5_000_000), rpc.inside(deep), rpc.count([[0] * 1000] * 1000))
            print(rpc.count([{"msg": "the same text" * 20}] * 50_000))
            show("a file name", rpc.same, os.fsdecode(b"a\xff.txt"))
        rpc = conn.rpc(timeout=60)
        print(rpc.same(2**100_000) == 2**100_000, rpc.count(itself), rpc.same((1, b"x" * 10))[1])
        print(conn.rpc(timeout=60, serde=SerdeFormat.JSON).same(10**4000) == 10**4000)
        show("beyond 64 bits", conn.rpc(timeout=60, serde=SerdeFormat.MSGPACK).same, 2**64)


def loop():
    """Nodes of asyncio, as tests look at them."""

    async def program():
        service = daffi.aio.AsyncService("service", "127.0.0.1", port := free_port())
        client = daffi.aio.AsyncClient("client", "127.0.0.1", port)
        print(service._stop_event.is_set(), client._conn_num)
        join = asyncio.ensure_future(client.join())
        await asyncio.sleep(0.1)
        await service.start()
        conn = await client.connect()
        print(client._conn_num is not None, join.done())
        rpc = conn.rpc(timeout=5, receiver="service")
        print(rpc, rpc.timeout, rpc.receiver, conn.stream(), conn.cast().f, asyncio.iscoroutine(calling := rpc.absent()))
        calling.close()
        nowait = conn.rpc_nowait().absent()
        print(asyncio.iscoroutine(nowait))
        try:
            await nowait
        except daffi.exceptions.TransmissionFailure:
            print("nobody")
        await client.stop()
        await asyncio.wait_for(client._stop_event.wait(), 10)
        print(await join, client._stop_event.is_set(), client._conn_num)

    asyncio.run(program())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    sys.stdout.flush()
    # 3.0.1 does not always end by itself.
    os._exit(0)
