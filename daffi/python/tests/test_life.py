"""How nodes and processes begin and end."""

import importlib
import os
import pkgutil
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from conftest import SERVE, free_port, program

import daffi_rs
from daffi_rs import Client, Router, Service, callback, current_call
from daffi_rs import exceptions as failures


def test_every_module_can_be_imported_and_does_nothing_else(start):
    names = [found.name for found in pkgutil.walk_packages(daffi_rs.__path__, "daffi_rs.")]
    assert {"daffi_rs.__main__", "daffi_rs.aio", "daffi_rs.exceptions", "daffi_rs.registry._executor_registry"} <= set(names)
    for name in names:
        importlib.import_module(name)
    assert program(start, "import daffi_rs, daffi_rs.__main__; print('imported')").finish() == ["imported"]


def test_a_client_says_whether_it_is_connected():
    with Service("service", "127.0.0.1", 0) as service:
        client = Client("client", "127.0.0.1", service.port)
        assert client._conn_num is None
        conn = client.connect()
        assert client._conn_num is not None and "type: 'service'" in client.info
        with pytest.raises(RuntimeError, match="already connected"):
            client.connect()
        client.stop()
        client.stop()
        assert client._conn_num is None
        with pytest.raises(failures.TransmissionFailure):
            conn.rpc().anything()
        assert client.connect().members() == {"service": []}
        client.stop()


def test_what_cannot_start_says_why(tmp_path):
    with pytest.raises(failures.InitializationError, match="Failed to connect"):
        Client("client", "127.0.0.1", 1).connect()
    with pytest.raises(failures.InitializationError, match="unix_sock_path"):
        Client(host="127.0.0.1", port=1, unix_sock_path="/tmp/x")
    with pytest.raises(failures.InitializationError, match="no address"):
        Client("client").connect()
    with pytest.raises(failures.InitializationError, match="cert_file"):
        Service("service", "127.0.0.1", 0, tls=True).start()
    with Service("one", "127.0.0.1", 0) as one, pytest.raises(failures.InitializationError, match=str(one.port)):
        Service("two", "127.0.0.1", one.port).start()


NO_SENSE = {
    "beside host": (Service, {"addresses": ["tcp://127.0.0.1:0"], "port": 0}),
    "beside port": (Client, {"addresses": ["tcp://127.0.0.1:1"], "host": "127.0.0.1"}),
    "given beside": (Client, {"addresses": ["tcp://127.0.0.1:1"], "unix_sock_path": "/tmp/x"}),
    "one endpoint at least": (Service, {"addresses": []}),
    "a list of one": (Service, {"addresses": "tcp://127.0.0.1:0"}),
    "tcp://127.0.0.1:0 has no TLS": (
        Service,
        {"addresses": ["tcp://127.0.0.1:0"], "tls": True, "cert_file": "c", "key_file": "k", "ca_file": "a"},
    ),
    "unix:///tmp/x has no TLS": (Service, {"unix_sock_path": "/tmp/x", "tls": True, "cert_file": "c", "key_file": "k"}),
    "tcp://127.0.0.1:1 has no TLS": (Client, {"addresses": ["tls://127.0.0.1:1", "tcp://127.0.0.1:1"], "tls": True}),
    "ca_file is given, and no endpoint": (Client, {"host": "127.0.0.1", "port": 1, "ca_file": "a"}),
    "cert_file is given, and no endpoint": (Router, {"host": "127.0.0.1", "port": 0, "cert_file": "c", "key_file": "k"}),
    "cert_file is given without key_file": (Client, {"host": "127.0.0.1", "port": 1, "tls": True, "cert_file": "c"}),
    "key_file is given without cert_file": (Client, {"addresses": ["wss://127.0.0.1:1"], "key_file": "k"}),
    "token has no meaning for a Service": (Service, {"port": 0, "token": "t"}),
    "token has no meaning for a Router": (Router, {"port": 0, "token": "t"}),
    "pickle has no meaning for a Router": (Router, {"port": 0, "pickle": "safe"}),
    "max_connections has no meaning for a Client": (Client, {"port": 1, "max_connections": 5}),
}


@pytest.mark.parametrize("why", NO_SENSE)
def test_options_that_mean_nothing_together_are_refused(why):
    made, options = NO_SENSE[why]
    with pytest.raises(failures.InitializationError, match="given" if why.startswith("beside") else why):
        node = made("node", **options)
        node.connect() if made is Client else node.start()


MISTAKEN = {
    "app_name": ["\ud800"],
    "host": ["\ud800", 5],
    "grace": [-1, "long", float("nan"), float("inf")],
    "max_body": [-1, 2**70, "much"],
    "max_values": [-1, 2**70, "many"],
    "budget": [-1, 2**70, 1.5],
    "addresses": [[5], ["\ud800"]],
    "cert_file": [5],
    "token": [5, "\ud800"],
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_a_value_that_an_option_cannot_have_is_refused_by_the_name_of_the_option(name):
    for value in MISTAKEN[name]:
        where = {} if name == "addresses" else {"host": "127.0.0.1", "port": 1}
        more = {"tls": True, "key_file": "key"} if name == "cert_file" else {}
        with pytest.raises(failures.InitializationError, match=name[:7]) as refused:
            Client(**{**where, **more, name: value}).connect()
        assert isinstance(refused.value, ValueError)
    with pytest.raises(failures.InitializationError, match="max_connections"):
        Service(host="127.0.0.1", port=0, max_connections=-1).start()


def test_files_of_certificates_may_be_paths(tmp_path):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(failures.InitializationError, match="certificate file .*nowhere"):
        Service(host="127.0.0.1", port=0, tls=True, cert_file=nowhere, key_file=nowhere).start()
    with pytest.raises(failures.InitializationError, match="CA file .*nowhere"):
        Client(host="127.0.0.1", port=1, tls=True, ca_file=nowhere).connect()


def test_a_client_goes_to_its_other_address_when_one_is_lost():
    @callback
    def here():
        return current_call().node.app_name

    ports = [free_port(), free_port()]
    services = [Service(f"service {n}", "127.0.0.1", port, grace=0.1) for n, port in enumerate(ports)]
    services[0].start()
    with Client("client", addresses=[f"tcp://127.0.0.1:{port}" for port in ports]) as conn:
        for there, gone in ((0, 1), (1, 0), (0, 1)):
            if services[gone]._node is not None:
                services[there].start()
                services[gone].stop()
            assert conn.rpc(timeout=30, wait=True, receiver=f"service {there}").here() == f"service {there}"
    services[0].stop()


def test_unix_sockets_have_a_parameter_of_their_own(tmp_path):
    @callback
    def add(a, b):
        return a + b

    path = tmp_path / "with a name that is longer than 26 bytes.sock"
    with Service("service", unix_sock_path=path), Client("client", unix_sock_path=path) as conn:
        assert conn.rpc().add(1, 2) == 3


def test_several_addresses_at_once(tmp_path):
    @callback
    def add(a, b):
        return a + b

    path = tmp_path / "calc.sock"
    with Service("service", addresses=["tcp://127.0.0.1:0", f"unix://{path}"]) as service:
        for number, address in enumerate(service.endpoints):
            with Client(f"client-{number}", addresses=["tcp://127.0.0.1:1", address]) as conn:
                assert conn.rpc().add(1, 2) == 3


def test_a_call_finds_a_server_that_was_restarted():
    @callback
    def one():
        return 1

    service = Service("service", "127.0.0.1", 0, grace=0.1)
    service.start()
    with Client("client", "127.0.0.1", service.port) as conn:
        assert conn.rpc().one() == 1
        service.stop()
        with pytest.raises(failures.Disconnected):
            conn.rpc().one()
        service.start()
        assert conn.rpc(timeout=10, wait=True).one() == 1
    service.stop()


def test_the_newer_node_of_a_name_evicts_the_older():
    with Router("router", "127.0.0.1", 0) as router:
        older, newer = Client("same", "127.0.0.1", router.port), Client("same", "127.0.0.1", router.port)
        conn = older.connect()
        newer.connect()
        assert older.join() is None
        with pytest.raises(failures.TransmissionFailure):
            conn.rpc().anything()
        assert newer._conn_num is not None
        newer.stop()


def test_stop_within_a_callback_does_not_wait_for_itself():
    stopped = threading.Event()

    @callback
    def end():
        service.stop()
        stopped.set()
        return "ended"

    service = Service("service", "127.0.0.1", 0)
    service.start()
    client = Client("client", "127.0.0.1", service.port)
    assert client.connect().rpc(timeout=10).end() == "ended"
    assert stopped.wait(10)
    client.stop()


def caught(pid):
    """The signals for which a process has handlers, a bit each."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt:"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_join_in_order(start, number):
    serving = program(start, SERVE + "    service.join()\n    print('joined')\n")
    serving.line()
    # Its `join` takes SIGTERM last.
    deadline = time.monotonic() + 30
    while not caught(serving.process.pid) >> (signal.SIGTERM - 1) & 1:
        assert time.monotonic() < deadline
    assert serving.stop(number) == ["joined"]


def test_ctrl_c_ends_a_waiting_call_at_once(start):
    waiting = program(
        start,
        SERVE
        + """
    conn = Client("client", "127.0.0.1", service.port).connect()
    began = time.monotonic()
    try:
        conn.rpc().nap(60)
    except KeyboardInterrupt:
        print("interrupted", time.monotonic() - began < 30)
    """,
    )
    waiting.line()
    time.sleep(0.5)
    began = time.monotonic()
    assert waiting.stop(signal.SIGINT) == ["interrupted True"]
    assert time.monotonic() - began < 20, "the callback that still sleeps holds nobody"


def test_an_interpreter_that_ends_with_open_calls_neither_hangs_nor_crashes(start):
    ending = program(
        start,
        SERVE
        + """
    import threading
    client = Client("client", "127.0.0.1", service.port)
    conn = client.connect()
    for _ in range(8):
        threading.Thread(target=lambda: conn.rpc().nap(3600), daemon=True).start()
    conn.rpc_nowait().nap(0)
    time.sleep(0.3)
    print("ends", flush=True)
    """,
    )
    ending.line()
    began = time.monotonic()
    assert ending.finish() == ["ends"]
    assert time.monotonic() - began < 30


def test_a_fork_makes_nodes_of_its_own_and_names_those_it_inherited(start):
    forking = program(
        start,
        SERVE
        + """
    import os
    client = Client("client", "127.0.0.1", service.port)
    conn = client.connect()
    assert conn.rpc().nap(0) == 0
    if os.fork() == 0:
        try:
            conn.rpc().nap(0)
        except RuntimeError as error:
            print("forked" in str(error), flush=True)
        own = Client("child", "127.0.0.1", service.port)
        print(own.connect().rpc(timeout=10).nap(0), flush=True)
        own.stop()
        del client, conn, own
        sys.exit(0)
    print(os.wait()[1], flush=True)
    print(conn.rpc(timeout=10).nap(0))
    """,
    )
    forking.line()
    assert forking.finish() == ["True", "0", "0", "0"]


def test_processes_are_spawned_with_nodes_of_their_own(start, tmp_path):
    there = tmp_path / "spawning.py"
    there.write_text(
        textwrap.dedent(
            """
            import multiprocessing
            from daffi_rs import Client, Service, callback

            @callback
            def add(a, b):
                return a + b

            def call(port):
                with Client(None, "127.0.0.1", port) as conn:
                    return conn.rpc(timeout=20).add(1, 2)

            if __name__ == "__main__":
                with Service("service", "127.0.0.1", 0, workers=2) as service:
                    with multiprocessing.get_context("spawn").Pool(2) as pool:
                        print(pool.map(call, [service.port] * 4))
            """
        )
    )
    assert start([sys.executable, str(there)]).finish() == ["[3, 3, 3, 3]"]


def test_compat_reads_pickles_as_3_0_1_does_and_warns_once(start):
    text = """
    import warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from daffi_rs import Client, Service, callback, compat
        compat()
        print(len(caught))

    class Thing:
        pass

    @callback
    def kind(value):
        return type(value).__name__

    with Service("service", "127.0.0.1", 0) as service, Client("client", "127.0.0.1", service.port) as conn:
        print(conn.rpc().kind(Thing()))
    """
    assert program(start, text, env={"DAFFI_RS_COMPAT": "1"}).finish() == ["1", "Thing"]


def test_the_command_comes_along(start):
    version = start([sys.executable, "-m", "daffi_rs", "version"]).finish()
    assert version[0].startswith("daffi ")
    script = os.path.join(os.path.dirname(sys.executable), "daffi")
    assert start([script, "version"]).finish() == version
    wrong = subprocess.run([script, "call"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and wrong.stderr
    with Service("service", "127.0.0.1", 0) as service:
        members = start([script, "members", f"tcp://127.0.0.1:{service.port}"]).finish()
        assert any("service" in line for line in members)


def frame(flag, uuid, metadata, payload, decoder=2, is_bytes=1, wants=1):
    length = (len(metadata) + len(payload)) | len(metadata) << 25
    head = struct.pack("<HB", uuid, flag | decoder << 4 | is_bytes << 6 | wants << 7) + length.to_bytes(5, "little")
    return head + b"\x81" + metadata + payload


HELLO = b'{"meta":{"type":"client","error":null},"members":[{"name":"evil","methods":null}]}'


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80\x04",
        b"cos\nsystem\n(S'echo boo'\ntR.",
        b"\x80\x04" + b"(" * 1000 + b".",
        b"\x80\x04" + b"]" + b"]" * 5000 + b"a" * 5000 + b".",
        b"\x80\x04r\xff\xff\xff\xff.",
        b"\x80\x04cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x04K\x01K\x02\x86.",
    ],
    ids=["empty", "cut", "system", "marks", "deep", "memo", "bytearray", "shape"],
)
def test_hostile_payloads_are_errors_and_hurt_nobody(payload):
    @callback
    def add(a, b):
        return a + b

    with Service("service", "127.0.0.1", 0) as service:
        with socket.create_connection(("127.0.0.1", service.port), 10) as peer:
            peer.settimeout(10)
            peer.sendall(b"\x1f" * 9 + frame(0, 1, b"evil||", HELLO, 1, 0))
            peer.recv(65536)
            peer.sendall(frame(1, 2, b"evil|service|add", payload))
            answer = peer.recv(65536)
            assert answer[2] & 15 == 3, "it is an ERROR"
        with Client("client", "127.0.0.1", service.port) as conn:
            assert conn.rpc(timeout=10).add(1, 2) == 3


@pytest.mark.parametrize("first", [b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\x1f" * 9 + b"\xff" * 64, b"\x1f" * 5])
def test_hostile_connections_end_and_hurt_nobody(first):
    @callback
    def add(a, b):
        return a + b

    with Service("service", "127.0.0.1", 0) as service:
        with socket.create_connection(("127.0.0.1", service.port), 10) as peer:
            peer.sendall(first)
            with Client("client", "127.0.0.1", service.port) as conn:
                assert conn.rpc(timeout=10).add(1, 2) == 3


def test_calls_leave_no_references_behind():
    import gc
    import tracemalloc

    @callback
    def echo(value):
        return value

    @callback
    def count(to):
        yield from range(to)

    with Service("service", "127.0.0.1", 0, workers=2) as service, Client("client", "127.0.0.1", service.port) as conn:

        def work():
            for number in range(200):
                conn.rpc().echo([number, {"a": b"x" * 100}])
                assert len(list(conn.rpc().count(3))) == 3
                with pytest.raises(failures.RemoteCallError):
                    conn.rpc().echo()
            gc.collect()
            # References are counted by interpreters that were built to count them.
            references = getattr(sys, "gettotalrefcount", lambda: 0)()
            return len(gc.get_objects()), tracemalloc.get_traced_memory()[0], references

        tracemalloc.start()
        try:
            work()
            before = work()
            objects, allocated, references = (after - then for after, then in zip(work(), before))
        finally:
            tracemalloc.stop()
        assert objects < 100 and allocated < 100_000 and references < 1000, (objects, allocated, references)


def test_a_typed_program_runs(start):
    assert start([sys.executable, os.path.join(os.path.dirname(__file__), "typed.py")]).finish() == ["done"]


def test_tls_verifies_the_name_and_compat_does_not(start, tmp_path):
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem -subj /CN=elsewhere "
        "-addext subjectAltName=DNS:elsewhere -addext basicConstraints=critical,CA:FALSE",
        shell=True,
        check=True,
        cwd=tmp_path,
        capture_output=True,
    )
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")

    @callback
    def add(a, b):
        return a + b

    calling = """
    import sys
    from daffi_rs import Client
    port, cert = int(sys.argv[1]), sys.argv[2]
    for options in ({"ca_file": cert}, {}):
        try:
            with Client("client", "127.0.0.1", port, tls=True, **options) as conn:
                print(conn.rpc(timeout=10).add(1, 2))
        except Exception as error:
            print(type(error).__name__)
    """
    with Service("service", "127.0.0.1", 0, tls=True, cert_file=cert, key_file=key) as service:
        strict = program(start, calling, service.port, cert).finish()
        lax = program(start, calling, service.port, cert, env={"DAFFI_RS_COMPAT": "1"}).finish()
    assert strict == ["InitializationError", "InitializationError"]
    assert lax == ["3", "3"]
