"""What the pages of daffi 3.0.1 say, whether or not 3.0.1 does it, and what must not fail silently."""

import asyncio
import gc
import pickle
import subprocess
import sys
import threading

import pytest

import daffi_rs.aio
from daffi_rs import Client, Router, SerdeFormat, Service, _daffi_rs, callback
from daffi_rs import exceptions as failures
from daffi_rs._plain import TRUSTED


def test_handlers_of_events_are_told_of_type_and_member():
    heard, gone = [], threading.Event()
    with Router("router", "127.0.0.1", 0) as router:
        watcher = Client("watcher", "127.0.0.1", router.port)

        def on_event(event):
            heard.append(event)
            if event == {"type": "disconnected", "member": "other"}:
                gone.set()

        assert watcher.add_event_handler(on_event) is on_event
        with watcher:
            with Client("other", "127.0.0.1", router.port):
                pass
            assert gone.wait(30)
    assert {"type": "connected", "member": "other"} in heard


def test_names_of_the_pages():
    from daffi_rs.aio import Client, Router, Service
    from daffi_rs.serialization import SerdeFormat as format

    assert (Client, Router, Service) == (daffi_rs.aio.AsyncClient, daffi_rs.aio.AsyncRouter, daffi_rs.aio.AsyncService)
    assert format is SerdeFormat


def with_a_client(program):
    async def all_of_it():
        async with daffi_rs.aio.AsyncService("service", "127.0.0.1", 0) as service:
            async with daffi_rs.aio.AsyncClient("client", "127.0.0.1", service.port) as conn:
                await asyncio.wait_for(program(conn), 60)

    asyncio.run(all_of_it())


def test_calls_without_an_answer_are_sent_whether_or_not_they_are_awaited(caplog):
    heard = []

    @callback
    def note(value):
        heard.append(value)
        return len(heard)

    async def program(conn):
        conn.rpc_nowait().note(1)
        conn.cast_nowait().note(2)
        await conn.rpc_nowait().note(3)
        await asyncio.create_task(conn.rpc_nowait().note(4))
        await asyncio.gather(conn.rpc_nowait().note(5), conn.cast_nowait().note(6))
        assert await conn.rpc().note(7) == 7
        await conn.client.stop()
        conn.rpc_nowait().note(8)
        gc.collect()
        assert "not connected" in caplog.text

    with_a_client(program)
    assert heard == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_call_that_is_not_awaited_says_so():
    @callback
    def rows():
        yield 1

    async def program(conn):
        with pytest.warns(RuntimeWarning, match="'anything' was never awaited"):
            conn.rpc().anything()
            gc.collect()
        # Those that are awaited, iterated over or closed say nothing.
        assert [row async for row in conn.rpc().rows()] == [1]
        conn.rpc().rows().close()
        with pytest.raises(failures.TransmissionFailure):
            await conn.rpc().absent()

    with_a_client(program)


def test_a_client_that_connects_does_not_connect_again_meanwhile():
    async def program():
        async with daffi_rs.aio.AsyncService("service", "127.0.0.1", 0) as service:
            client = daffi_rs.aio.AsyncClient("client", "127.0.0.1", service.port)
            made = await asyncio.gather(client.connect(), client.connect(), return_exceptions=True)
            assert sorted(type(each).__name__ for each in made) == ["AsyncClientConnection", "RuntimeError"]
            await client.stop()
            assert client._stop_event.is_set()
            await asyncio.wait_for(client._stop_event.wait(), 1)
            begun = await asyncio.gather(service.start(), return_exceptions=True)
            assert type(begun[0]) is RuntimeError

    asyncio.run(program())


def test_a_second_stop_waits_for_the_first():
    begun, may = threading.Event(), threading.Event()

    @callback
    def hold():
        begun.set()
        may.wait(30)

    service = Service("service", "127.0.0.1", 0)
    service.start()
    with Client("client", "127.0.0.1", service.port) as conn:
        conn.rpc_nowait().hold()
        assert begun.wait(30)
        stops = [threading.Thread(target=service.stop) for _ in range(3)]
        for stop in stops:
            stop.start()
        while service._stopping is None:
            pass
        assert all(stop.is_alive() for stop in stops) and not service._stop_event.is_set()
        may.set()
        for stop in stops:
            stop.join(30)
        assert service._stop_event.is_set() and not any(stop.is_alive() for stop in stops)
    service.stop()


def test_compat_where_warnings_are_errors():
    made = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import daffi_rs; print(daffi_rs._compat.is_compat())"],
        env={"DAFFI_RS_COMPAT": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert made.stdout == "True\n" and "daffi_rs runs as daffi 3.0.1 does" in made.stderr, made.stderr


def test_a_timeout_travels_in_a_pickle():
    error = failures.CallTimeout(call="rpc call", timeout=1, elapsed=1.1, receivers=None, method="f")
    made = pickle.loads(pickle.dumps(error))
    assert str(made) == str(error) and (made.method, made.receivers) == ("f", None)
    assert "Callback:  f" in str(error) and "Receivers: any" in str(error)


def read(serde, value, policy=TRUSTED):
    payload, text = _daffi_rs.encode_result(serde, value)
    return _daffi_rs.decode_result(serde, payload, text, policy)


def test_plain_data_that_is_no_tree_is_read_without_being_trusted():
    shared = [0] * 1000
    made = read(SerdeFormat.PICKLE, [shared] * 1000)
    assert made[0] is made[-1] == shared
    rows = [{"msg": "the same text" * 20}] * 100_000
    assert read(SerdeFormat.PICKLE, [dict(row) for row in rows]) == rows
    assert read(SerdeFormat.PICKLE, 2**100_000) == 2**100_000
    itself = []
    itself.append(itself)
    made = read(SerdeFormat.PICKLE, itself)
    assert made[0] is made
    deep = []
    for _ in range(400):
        deep = [deep]
    assert read(SerdeFormat.PICKLE, deep) == deep
    for serde in (SerdeFormat.PICKLE, SerdeFormat.JSON):
        assert read(serde, "a\udcff.txt") == "a\udcff.txt"


def test_how_many_values_a_payload_may_have_is_a_setting():
    for serde in (SerdeFormat.PICKLE, SerdeFormat.JSON, SerdeFormat.MSGPACK):
        for value in ([1] * 1000, [float("nan")] * 1000):
            with pytest.raises((TypeError, ValueError), match="max_values|NaN|ident"):
                read(serde, value, TRUSTED.limited(500))
            assert len(read(serde, value, TRUSTED.limited(2000))) == 1000

    @callback
    def count(values):
        return len(values)

    with Service("service", "127.0.0.1", 0, max_values=500) as service:
        with Client("client", "127.0.0.1", service.port) as conn:
            assert conn.rpc(timeout=20).count([1] * 400) == 400
            with pytest.raises(failures.RemoteCallError, match="max_values"):
                conn.rpc(timeout=20).count([1] * 600)
