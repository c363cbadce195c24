"""Errors have the classes and the phrases that programs written for daffi 3.0.1 look for."""

import asyncio
import copy
import functools
import math
import pickle
import sys
import time
import types

import pytest

import daffi_rs
from daffi_rs import Client, Router, SerdeFormat, Service, alias, callback
from daffi_rs import exceptions as failures
from daffi_rs._serialization import Serializer
from daffi_rs.aio import AsyncClient, AsyncService

STYLES = ["rpc", "rpc_nowait", "cast", "cast_nowait", "stream", "stream_nowait"]
HEADS = {
    "rpc": r"^Unable to proceed with rpc call\(fn: 'nope'\): ReceiverNotFound",
    "rpc_nowait": r"^Unable to proceed with rpc_nowait\(fn: 'nope'\): ReceiverNotFound",
    "cast": r"^No receivers found for call_all\(fn='nope'\)\.\nAvailable peers: \['service'\]",
    "cast_nowait": r"^No receivers found for cast_all\(fn='nope'\)\.\nAvailable peers: \['service'\]",
    "stream": r"^Unable to stream to (Async)?StreamProxy\(fn: 'nope'\): ReceiverNotFound",
    "stream_nowait": r"^Unable to stream to (Async)?StreamNowaitProxy\(fn: 'nope'\): ReceiverNotFound",
}


def add(a, b):
    return a + b


def add_more(a, b):
    return a + b


def _says_who_is_there(style, error):
    text = str(error)
    assert "no member exposes nope" in text and error.message == text
    if not style.startswith("cast"):
        assert text.endswith("\nConnected peers:\n- service exposes add")


@pytest.mark.parametrize("style", STYLES)
def test_a_name_that_nobody_exposes(network, style):
    callback(add)
    conn = network()
    with pytest.raises(failures.TransmissionFailure, match=HEADS[style]) as found:
        getattr(conn, style)().nope(b"1")
    assert type(found.value) is failures.ReceiverNotFound
    _says_who_is_there(style, found.value)


@pytest.mark.parametrize("style", STYLES)
def test_a_name_that_nobody_exposes_on_a_loop(style):
    callback(add)

    async def main():
        service = AsyncService("service", "127.0.0.1", 0)
        await service.start()
        client = AsyncClient("client", "127.0.0.1", service.port)
        conn = await client.connect()
        with pytest.raises(failures.TransmissionFailure, match=HEADS[style]) as found:
            await getattr(conn, style)().nope(b"1")
        _says_who_is_there(style, found.value)
        await client.stop()
        await service.stop()

    asyncio.run(main())


def test_an_error_tells_of_some_peers_where_there_are_many():
    error = failures.ReceiverNotFound("No receivers found (ReceiverNotFound): no member exposes nope")
    many = {f"w{number:03}": [f"f{other:03}" for other in range(100)] for number in range(100)}
    daffi_rs._refusals.tell_peers(error, "Unable", daffi_rs._refusals.Peers(many))
    assert len(str(error)) < 10_000 and "and 80 more" in str(error) and "w019" in str(error) and "w020" not in str(error)


FORGED = "x\n\x1b[31mERROR payment lost"


def test_names_of_others_forge_no_lines():
    router = Router("router", "127.0.0.1", 0)
    router.start()
    callback(name=FORGED)(add)
    forger = Client(FORGED, "127.0.0.1", router.port)
    forger.connect()
    client = Client("caller", "127.0.0.1", router.port)
    conn = client.connect()
    conn.wait_for_members(FORGED, timeout=30)
    for style in ("rpc", "cast"):
        with pytest.raises(failures.ReceiverNotFound) as found:
            getattr(conn, style)().nope()
        assert "x\\n\\x1b[31mERROR payment lost" in str(found.value)
        assert all(line.isprintable() for line in str(found.value).split("\n")), str(found.value)
        assert not any(line.startswith("ERROR") or "\x1b" in line for line in str(found.value).split("\n"))
    forger.stop()
    client.stop()
    router.stop()


@pytest.mark.parametrize("letter", ["x", "\n", "\x1b", "\N{GRINNING FACE}", "\u202e"])
def test_names_of_others_are_shown_in_short(letter):
    names = [f"{number:02}{letter * 10_000}" for number in range(30)]
    peers = daffi_rs._refusals.Peers({name: names for name in names})
    assert len(peers.connected) < 60_000 and len(peers.available) < 3_000
    assert "\x1b" not in peers.connected + peers.available and peers.connected.count("\n") == 21
    assert daffi_rs._refusals.shown("worker") == "worker"


def test_who_is_there_is_looked_up_seldom_where_that_takes_long():
    class Slow:
        looks = 0

        def members(self):
            self.looks += 1
            time.sleep(0.05)
            return [("worker", ["f"])]

    client = Client("client", "127.0.0.1", 1)
    client._node = slow = Slow()
    assert "worker exposes f" in client._peers().connected
    for _ in range(1000):
        client._peers()
    assert slow.looks < 3
    client._node, client._seen = None, None
    assert client._peers().connected == "Connected peers: none"


@pytest.mark.parametrize("kind", [Service, Router])
def test_a_port_that_is_taken(kind):
    first = Router("first", "127.0.0.1", 0)
    first.start()
    where = rf"127\.0\.0\.1:{first.port}"
    text = rf"^Failed to start the server on {where}: .* already occupied by another process"
    with pytest.raises(failures.InitializationError, match=text):
        kind("second", "127.0.0.1", first.port).start()

    async def main():
        with pytest.raises(failures.InitializationError, match=text):
            await AsyncService("second", "127.0.0.1", first.port).start()
        with pytest.raises(failures.InitializationError, match=text):
            await daffi_rs.aio.AsyncRouter("second", "127.0.0.1", first.port).start()

    asyncio.run(main())
    first.stop()


def test_a_refused_connection_names_the_address_once():
    router = Router("router", "127.0.0.1", 0)
    router.start()
    port = router.port
    router.stop()
    with pytest.raises(failures.InitializationError, match="Failed to connect to the server. connection info: ") as found:
        Client("client", "127.0.0.1", port).connect()
    assert str(found.value).count(str(port)) == 1, found.value
    with pytest.raises(failures.InitializationError, match=f"tcp://127.0.0.1:{port}"):
        Client("client", addresses=[f"tcp://127.0.0.1:{port}"]).connect()


def test_what_cannot_be_a_callback():
    with pytest.raises(failures.InitializationError, match="Not supported. '<lambda>'.* use a named function instead."):
        callback(lambda: 1)
    callback(add)
    with pytest.raises(failures.InitializationError, match="Please use another name or set a custom alias"):
        callback(add)
    with pytest.raises(failures.InitializationError, match="already registered.*set a custom alias"):
        callback(callback(add_more))
    for value in (5, functools.partial(add)):
        with pytest.raises(AttributeError) as found:
            callback(value)
        assert isinstance(found.value, failures.InitializationError)
    with pytest.raises(ValueError, match="Alias must be string, and 5 is an int"):
        alias(5)


def test_settings_of_nodes():
    with pytest.raises(failures.InitializationError, match="^Provide either 'unix_sock_path' or .*respectively"):
        Service("service", "127.0.0.1", 1, unix_sock_path="/tmp/x")
    with pytest.raises(ValueError, match="Use workers=1 for inline"):
        Service("service", "127.0.0.1", 0, workers=0).start()
    for workers in ("3", None, 2.5):
        with pytest.raises(TypeError, match=f"workers={workers!r}: it must be a whole number") as found:
            Client("client", "127.0.0.1", 1, workers=workers).connect()
        assert isinstance(found.value, failures.InitializationError)
    assert Service("service", "127.0.0.1", 0)._conn_type is None


def test_formats(network):
    with pytest.raises(ValueError, match="Unknown serde format: 9"):
        Serializer.serialize(9, 1)
    callback(add)
    conn = network()
    with pytest.raises(ValueError, match="Unknown serde format: 9"):
        conn.rpc(serde=9)
    with pytest.raises(TypeError, match=r"SerdeFormat.OPAQUE accepts .*\(got 2 positional, 0 keyword\)"):
        conn.rpc(serde=SerdeFormat.OPAQUE).add(1, 2)
    with pytest.raises(failures.TransmissionFailure, match="surrogates not allowed") as found:
        conn.rpc(serde=SerdeFormat.OPAQUE).add("\ud800")
    assert isinstance(found.value, UnicodeError)


def test_a_timeout_that_named_nobody():
    error = failures.CallTimeout(call="rpc call", timeout=1, elapsed=1.0, receivers=None)
    assert "Receivers: any (broadcast)" in str(error)


@pytest.mark.parametrize("given", [5, b"svc", ["svc", 5]])
@pytest.mark.parametrize("style", STYLES)
def test_receivers_that_are_no_names(network, style, given):
    conn = network()
    with pytest.raises(failures.TransmissionFailure, match="receiver=") as found:
        getattr(conn, style)(receiver=given).add(1)
    assert isinstance(found.value, TypeError)
    assert "receiver=5: it must be the name of a member, as text, or several of them, and it is an int" in str(
        pytest.raises(TypeError, conn.rpc, receiver=5).value
    )


def test_members_that_are_no_names(network):
    conn = network()
    with pytest.raises(TimeoutError, match="Timed out after 1s waiting for members: \\{5\\}: 5 is an int"):
        conn.wait_for_members(5, timeout=1)
    with pytest.raises(TypeError, match="5 is an int"):
        conn.wait_for_members(5)
    for timeout, kind in ((1, TimeoutError), (None, failures.TransmissionFailure)):
        with pytest.raises(kind, match="names of members are text; give the names one by one") as found:
            conn.wait_for_members(["service"], timeout=timeout)
        assert isinstance(found.value, TypeError) and "Timed out" not in str(found.value)
    for timeout in ("1", [], b"1"):
        with pytest.raises(TypeError, match="timeout=.*: it must be a number of seconds, and it is a"):
            conn.wait_for_members("service", timeout=timeout)


def test_timeouts_that_are_no_numbers(network):
    callback(add)
    conn = network()
    for style in ("rpc", "cast", "stream"):
        with pytest.raises(ValueError, match="timeout is NaN"):
            getattr(conn, style)(timeout=math.nan)
        with pytest.raises(OverflowError, match="timeout is inf") as found:
            getattr(conn, style)(timeout=math.inf)
        assert isinstance(found.value, ValueError)
    with pytest.raises(ValueError, match="timeout is NaN"):
        conn.wait_for_members("service", timeout=math.nan)
    conn.wait_for_members("service", timeout=math.inf)
    with pytest.raises(ValueError, match="grace is nan"):
        Service("service", "127.0.0.1", 0, grace=math.nan).start()


def test_timeouts_that_are_no_numbers_on_a_loop():
    callback(add)

    async def main():
        service = AsyncService("service", "127.0.0.1", 0)
        await service.start()
        client = AsyncClient("client", "127.0.0.1", service.port)
        conn = await client.connect()
        for style in ("rpc", "cast", "stream"):
            with pytest.raises(ValueError, match="timeout is NaN"):
                getattr(conn, style)(timeout=math.nan)
        with pytest.raises(ValueError, match="timeout is NaN"):
            await conn.wait_for_members("service", timeout=math.nan)
        await conn.wait_for_members("service", timeout=math.inf)
        with pytest.raises(TimeoutError, match=r"\{5\}"):
            await conn.wait_for_members(5, timeout=1)
        await client.stop()
        await service.stop()

    asyncio.run(main())


class Greeter:
    def greet(self):
        return "hello"


def test_callbacks_are_copied_and_pickled_as_functions_are(monkeypatch):
    own = types.ModuleType("programs_own")
    own.f = callback(_of(own, add, "f"))
    monkeypatch.setitem(sys.modules, own.__name__, own)
    for copied in (copy.copy(own.f), copy.deepcopy(own.f), copy.deepcopy({"f": own.f})["f"], pickle.loads(pickle.dumps(own.f))):
        assert copied is own.f and copied(1, 2) == 3
    # One that is not where its function is named is another object, and exposes nothing anew.
    other = callback(add)
    for copied in (copy.copy(other), copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
        assert copied is not other and type(copied) is type(other) and copied(1, 2) == 3
    made = callback(Greeter)
    assert copy.copy(made)().greet() == copy.deepcopy(made)().greet() == "hello"

    def nested():
        return 1

    assert copy.deepcopy(callback(nested))() == 1


def _of(module, function, name):
    made = types.FunctionType(function.__code__, module.__dict__, name)
    made.__module__, made.__qualname__ = module.__name__, name
    return made


def test_connecting_can_be_patched(monkeypatch):
    tried = []
    monkeypatch.setattr(Client, "_do_connect", lambda client: tried.append(client))
    client = Client("client", "127.0.0.1", 1)
    client.connect()
    assert tried == [client]
