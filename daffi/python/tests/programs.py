"""Programs written for daffi 3.0.1, each of which prints the same there and here: `python programs.py NAME`.

What is printed of an error are its classes, as far as 3.0.1 has them, since words differ.
"""

import asyncio
import contextlib
import dataclasses
import enum
import functools
import os
import socket
import sys
import threading
import time

import daffi
import daffi.aio
import daffi.app
import daffi.exceptions
from daffi import Client, Router, SerdeFormat, Service, alias, callback, local
from daffi._serialization import Serializer
from daffi.registry._executor_registry import EXECUTOR_REGISTRY, Executor

FORMATS = ("PICKLE", "JSON", "MSGPACK")
OWN = ("InitializationError", "Disconnected", "Evicted", "TransmissionFailure", "RemoteCallError", "CallTimeout")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def classes(error):
    kinds = [cls.__name__ for cls in type(error).__mro__]
    own = [name for name in kinds if name in OWN and name != "Disconnected"]
    return own or [name for name in kinds if name in ("TimeoutError", "TypeError", "ValueError", "RuntimeError")] or kinds[:1]


def show(what, function, *args, **kwargs):
    try:
        print(what, repr(function(*args, **kwargs)))
    except Exception as error:
        print(what, "raises", *classes(error))


@contextlib.contextmanager
def network(workers=1):
    port = free_port()
    service = Service("service", "127.0.0.1", port, workers=workers)
    service.start()
    client = Client(app_name="client", host="127.0.0.1", port=port)
    yield client, client.connect()
    client.stop()


def common():
    @callback
    def echo(value):
        return value

    @callback
    def kind(value):
        return type(value).__name__

    @callback
    def add(a, b=10, *more, **named):
        return [a, b, list(more), named]

    @callback
    def nap(seconds):
        time.sleep(seconds)
        return seconds


def executors():
    """The registry, as tests of users look into it."""
    told = []
    EXECUTOR_REGISTRY.subscribers.append(told.append)

    @callback
    def plain(a, b=2):
        return a + b

    @callback
    class Text:
        def upper(self, text):
            return text.upper()

        @staticmethod
        def free(text):
            return text

        @classmethod
        def named(cls):
            return cls.__name__

        @property
        def size(self):
            return 1

        @local
        def reset(self):
            pass

        def _private(self):
            pass

    print([executor.name for executor in told], [str(executor) for executor in told], repr(told[0]))
    print(sorted(name for name, _ in EXECUTOR_REGISTRY), bool(EXECUTOR_REGISTRY), EXECUTOR_REGISTRY.get("absent"))
    upper = EXECUTOR_REGISTRY.get("upper")
    print(upper("a"), type(upper.cls).__name__, told[0].cls, told[0](1), plain(1), isinstance(plain, callback))
    upper.cls.upper = lambda text: "patched"
    print(upper("a"), isinstance(upper, Executor), Executor(len, "len")("abc"))
    show("again", EXECUTOR_REGISTRY.register, "upper", len)
    EXECUTOR_REGISTRY.unregister("upper")
    before = dict(EXECUTOR_REGISTRY.registry)
    EXECUTOR_REGISTRY.registry.clear()
    print(bool(EXECUTOR_REGISTRY))
    EXECUTOR_REGISTRY.registry.update(before)
    print(len(EXECUTOR_REGISTRY.registry))


def decorators():
    show("a lambda", callback, lambda: 1)
    show("an alias", alias, 5)

    def function():
        pass

    print(alias("other")(function) is function, function.alias, local(function) is function, local()(function).local)

    class Base:
        def __init__(self):
            self.given = function_of_an_object

        def one(self):
            return 1

    class Derived(Base):
        def two(self):
            return 2

    def function_of_an_object():
        return 3

    callback(Derived)
    print(sorted(EXECUTOR_REGISTRY.registry))

    @callback
    class Empty:
        pass

    @callback
    @alias("drei")
    def three():
        return 3

    @callback
    @functools.wraps(function_of_an_object)
    def wrapped():
        return 4

    print("drei" in EXECUTOR_REGISTRY.registry, sorted(EXECUTOR_REGISTRY.registry))


def names():
    """What there is to import, and what nodes say of themselves."""
    from daffi._rpc_proxy import ClientConnection
    from daffi.aio._rpc_proxy import AsyncClientConnection
    from daffi.aio.app import AsyncApplication
    from daffi.app import Application, EventsMixin, ServerMixin, ServerMode
    from daffi.utils import colors
    from daffi.utils.logger import ColoredFormatter, get_daffi_logger
    from daffi.utils.misc import is_lambda_function, iterable, string_uuid, uuid

    print(ClientConnection.__name__, AsyncClientConnection.__name__, issubclass(daffi.aio.AsyncClient, AsyncApplication))
    print(issubclass(Client, Application), issubclass(Client, EventsMixin), issubclass(Client, ServerMixin), list(ServerMode))
    print(colors.red("x"), is_lambda_function(len), iterable([]), iterable("text"), string_uuid()[:2], uuid() < 1 << 32)
    print(ColoredFormatter.__name__, get_daffi_logger("x", colors.blue).logger.name)
    for made in (Client, Service, Router):
        node = made(host="127.0.0.1", port=5)
        print(node.app_name.startswith(socket.gethostname() + "-0x"), node.info, node.workers, node._conn_num, node.server_mode)
        print(repr(node.unix_sock_path), repr(node.ca_file), node.tls)
    show("both", Client, host="x", unix_sock_path="/tmp/x")
    for name in OWN[:-1]:
        error = getattr(daffi.exceptions, name)("words")
        print(name, [cls.__name__ for cls in type(error).__mro__], error.message, repr(error))
        show("fire", error.fire)
    error = daffi.exceptions.CallTimeout(call="f", timeout=3, elapsed=1.5, receivers={"a"})
    print(error.call, error.timeout, error.elapsed, error.receivers, str(error)[:27], isinstance(error, TimeoutError))
    data, is_bytes = Serializer.serialize(SerdeFormat.JSON, 1, a="b")
    print(data, is_bytes, Serializer.deserialize(SerdeFormat.PICKLE, Serializer.serialize(SerdeFormat.PICKLE, (1,))[0]))


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    y: str


def payloads():
    common()
    plain = [None, 1, -1.5, "ä😀", "", True, [1, [2]], {"a": {"b": [1]}}, (1, (2,)), 2**63 - 1, float("inf"), 2**70]
    with network() as (_, conn):
        for name in FORMATS:
            rpc = conn.rpc(timeout=20, serde=getattr(SerdeFormat, name))
            for value in plain[: 12 if name != "MSGPACK" else 11]:
                show(name, rpc.echo, value)
                show(name, rpc.kind, value)
        rpc = conn.rpc(timeout=20)
        for value in [{1}, b"\xff", bytearray(b"a"), 1j, Point(1, "y"), Colour.RED, ValueError("x", 2), {1: (2,)}, range(3)]:
            show("PICKLE", rpc.kind, value)
            show("PICKLE", rpc.echo, value)
        show("lambda", rpc.echo, lambda: 1)
        show("JSON", conn.rpc(timeout=20, serde=SerdeFormat.JSON).echo, {1})
        show("MSGPACK", conn.rpc(timeout=20, serde=SerdeFormat.MSGPACK).echo, {1: "one", "b": b"\0"})
        opaque = conn.rpc(timeout=20, serde=SerdeFormat.OPAQUE)
        show("OPAQUE", opaque.echo, b"\xff")
        show("OPAQUE", opaque.echo, value="text")
        show("OPAQUE", opaque.kind)
        show("OPAQUE", opaque.add, 1, 2)
        show("format", lambda: conn.rpc(serde=9).echo(1))


def errors():
    common()

    @callback
    def fail(kind):
        class Own(Exception):
            pass

        raise {"value": ValueError("bad", 1), "key": KeyError("k"), "own": Own("ü\n"), "exit": SystemExit(3)}[kind]

    with network() as (_, conn):
        for name in FORMATS:
            for kind in ("value", "key", "own", "exit"):
                try:
                    conn.rpc(timeout=20, serde=getattr(SerdeFormat, name)).fail(kind)
                except daffi.exceptions.RemoteCallError as error:
                    print(name, type(error).__name__, type(error).__module__.split(".")[0], repr(str(error)), error.args)
        rpc = conn.rpc(timeout=20)
        for what, call in {"few": rpc.add, "none": rpc.absent, "to nobody": conn.rpc(receiver="nobody").echo}.items():
            show(what, call)
        show("cast", conn.cast(timeout=20).absent)
        show("empty", conn.cast(receiver=[]).echo, 1)
        answer = conn.cast(timeout=20).fail("value")["service"]
        print(type(answer).__name__, classes(answer), answer)


def styles():
    heard = []
    common()

    @callback
    def take(*args, **kwargs):
        heard.append((args, kwargs))

    with network() as (_, conn):
        conn.rpc_nowait().take(1, key="a")
        conn.cast_nowait().take("b")
        print(conn.cast(20, "service").add(1), conn.cast(receiver=("service",)).add(1, 2, 3, x=4), conn.rpc(20, "service", 1).echo("x"))
        for chunks in ([b"1", b"2"], b"alone", "text", (str(number) for number in range(2)), [], {"a": 1}):
            conn.stream().take(chunks)
        conn.stream(serde=SerdeFormat.PICKLE, timeout=20).take([(1,), None])
        conn.stream("service", SerdeFormat.JSON).take(gen=[1])
        conn.stream_nowait().take([b"3", b"4"])
        show("wrong", conn.stream().take)
        show("last", conn.rpc(timeout=20).echo, 1)
        print(heard)
        print(conn.rpc(), conn.rpc(receiver="w").echo, conn.rpc_nowait().echo, conn.cast().echo, hasattr(conn.rpc(), "any"))


def timeouts():
    common()
    with network(workers=4) as (_, conn):
        for timeout in (20, 20.5, "20", 0, -1, None):
            show(timeout, conn.rpc(timeout=timeout).echo, 1)
        show("rpc", conn.rpc(timeout=1).nap, 3)
        show("stream", conn.stream(timeout=1, serde=SerdeFormat.PICKLE).nap, [3])
        print({name: classes(answer) for name, answer in conn.cast(timeout=1).nap(3).items()})
        show("after", conn.rpc(timeout=20).echo, 2)


def life():
    common()
    port = free_port()
    service, client = Service("service", "127.0.0.1", port), Client("client", "127.0.0.1", port)
    service.start()
    show("start", service.start)
    client.stop()
    conn = client.connect()
    show("connect", client.connect)
    print(client._conn_num is not None, client._conn_type, client.info == f"tcp: [ host '127.0.0.1', port: {port}, type: 'service' ]")
    client.stop()
    client.stop()
    print(client._conn_num)
    show("stopped", conn.rpc(timeout=2).echo, 1)
    client.join()
    client.connect()
    show("the connection from before", conn.rpc(timeout=20).echo, 1)
    show("there", conn.wait_for_members, "service", timeout=20, interval=0.1)
    show("absent", conn.wait_for_members, "nobody", timeout=1)
    show("none", conn.wait_for_members)
    client.stop()
    absent = Client("absent", "127.0.0.1", free_port())
    show("refused", absent.connect)
    print(absent._conn_num)
    show("taken", Service("other", "127.0.0.1", port).start)


def members():
    @callback
    def who():
        return "here"

    port, seen, gone = free_port(), [], threading.Event()
    Router("router", "127.0.0.1", port).start()
    watcher = Client("watcher", "127.0.0.1", port)

    @watcher.on_member_added
    def added(name):
        seen.append(("added", name))

    watcher.on_member_removed(lambda name: (seen.append(("removed", name)), gone.set()))
    conn = watcher.connect()
    show("nobody", conn.cast(timeout=5).who)
    workers = [Client(name, "127.0.0.1", port) for name in ("one", "two")]
    for worker in workers:
        worker.connect()
    conn.wait_for_members("one", "two", timeout=20)
    print(conn.cast(timeout=20).who(), [conn.rpc(timeout=20).who() for _ in range(3)], conn.rpc(20, "two").who())
    workers[0].stop()
    print(gone.wait(20), sorted(seen))
    show("gone", conn.rpc(timeout=20, receiver="one").who)
    print(conn.cast(timeout=20).who())


def loops():
    """One loop after another, each with nodes of its own."""

    @callback
    async def echo(value):
        return value

    @callback
    def plain(value):
        return value

    @callback
    async def nap(seconds):
        await asyncio.sleep(seconds)

    async def shown(what, calling):
        try:
            print(what, repr(await calling))
        except Exception as error:
            print(what, "raises", *classes(error))

    async def chunks():
        for number in range(2):
            yield b"%d" % number

    async def program(number):
        port = free_port()
        service = daffi.aio.AsyncService(f"service-{number}", "127.0.0.1", port, workers=4)
        await service.start()
        await shown("start", service.start())
        client = daffi.aio.AsyncClient("client", "127.0.0.1", port)
        conn = await client.connect()
        rpc = conn.rpc(timeout=20)
        await shown("echo", rpc.echo(number))
        await shown("plain", rpc.plain((1,)))
        await shown("absent", rpc.absent())
        await shown("late", conn.rpc(timeout=1).nap(3))
        await shown("nowait", conn.rpc_nowait().echo(1))
        await shown("cast", conn.cast(timeout=20).echo(1))
        await shown("stream", conn.stream().echo(chunks()))
        await shown("members", conn.wait_for_members("nobody", timeout=1))
        await shown("wait_for", asyncio.wait_for(conn.rpc().nap(3), 0.2))
        print(await asyncio.gather(*(rpc.echo(each) for each in range(5))), asyncio.iscoroutine(calling := rpc.echo(1)))
        print(await asyncio.create_task(calling), await asyncio.ensure_future(rpc.echo(2)))
        await client.stop()
        await client.stop()
        await shown("stopped", conn.rpc(timeout=1).echo(1))

    for number in range(2):
        asyncio.run(program(number))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    sys.stdout.flush()
    # 3.0.1 does not always end by itself.
    os._exit(0)
