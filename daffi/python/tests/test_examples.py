"""The programs of examples/, unchanged, with daffi_rs in the place of daffi, in all pairings with Rust and 3.0.1."""

import subprocess

import pytest
from conftest import ROOT, command, free_port, printed

PAIRS = ["rpc", "class_callbacks", "pickle", "json", "opaque", "msgpack", "unix", "tls", "events", "stream", "workers"]
ROUTED = ["rpc", "cast", "bidirectional", "formats", "members", "stream"]
MIXES = [("daffi_rs", "daffi_rs"), ("daffi_rs", "3.0.1"), ("3.0.1", "daffi_rs"), ("daffi_rs", "rust"), ("rust", "daffi_rs")]
ROUTED_MIXES = [
    ("daffi_rs", "daffi_rs", "daffi_rs"),
    ("daffi_rs", "3.0.1", "rust"),
    ("daffi_rs", "rust", "3.0.1"),
    ("rust", "daffi_rs", "3.0.1"),
    ("rust", "3.0.1", "daffi_rs"),
    ("3.0.1", "daffi_rs", "daffi_rs"),
]
#: What a service prints after its first line.
SERVICES = {"events": ["added: watcher", "added: visitor", "removed: visitor", "removed: watcher"]}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost, made as the README of the examples says."""
    there = tmp_path_factory.mktemp("tls")
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout key.pem -out cert.pem -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE",
        shell=True,
        check=True,
        cwd=there,
        capture_output=True,
    )
    return there


def listening(start, library, program, scheme, address, options):
    server = start([*command(library, program), "--listen", f"{scheme}://{address}", *options])
    first = server.line()
    assert first.startswith("listening on "), first
    return server, first.removeprefix("listening on ")


@pytest.mark.parametrize("service, client", MIXES, ids="-".join)
@pytest.mark.parametrize("name", PAIRS)
def test_pair(start, tmp_path, certificate, name, service, client):
    scheme = {"unix": "unix", "tls": "tls"}.get(name, "tcp")
    # 3.0.1 cuts the path of a socket to 26 bytes.
    address = f"/tmp/daffi-{free_port()}.sock" if scheme == "unix" else f"127.0.0.1:{free_port()}"
    serve = ["--cert", str(certificate / "cert.pem"), "--key", str(certificate / "key.pem")] if name == "tls" else []
    call = ["--ca", str(certificate / "cert.pem")] if name == "tls" else []
    there = ROOT / "examples" / "pairs"
    server, at = listening(start, service, there / f"{name}_service.py", scheme, address, serve)
    caller = start([*command(client, there / f"{name}_client.py"), "--connect", at, *call])
    assert caller.finish() == printed("pairs", name)
    said = [server.line() for _ in SERVICES.get(name, [])]
    assert said + server.stop() == SERVICES.get(name, [])


@pytest.mark.parametrize("router, worker, caller", ROUTED_MIXES, ids="-".join)
@pytest.mark.parametrize("name", ROUTED)
def test_behind_a_router(start, name, router, worker, caller):
    there = ROOT / "examples" / "router"
    hub, at = listening(start, router, there / "router.py", "tcp", f"127.0.0.1:{free_port()}", [])
    call = [*command(caller, there / f"{name}_caller.py"), "--connect", at]
    first = start(call) if name == "members" else None
    lines = [first.line()] if first else []
    names = ["east", "west"] if name in ("cast", "members", "stream") else [None]
    workers = []
    for each in names:
        options = ["--name", each] if each else []
        workers.append(start([*command(worker, there / f"{name}_worker.py"), "--connect", at, *options]))
        assert workers[-1].line().startswith("connected to ")
    assert lines + (first or start(call)).finish() == printed("router", name)
    for each in workers:
        assert each.stop() == []
    assert hub.stop() == []


@pytest.mark.parametrize("router, caller", [("daffi_rs", "daffi_rs"), ("rust", "daffi_rs"), ("daffi_rs", "rust")], ids="-".join)
def test_pool(start, router, caller):
    there = ROOT / "examples" / "router"
    _, at = listening(start, router, there / "router.py", "tcp", f"127.0.0.1:{free_port()}", [])
    for library in ("rust", "daffi_rs"):
        worker = start([*command(library, there / "pool_worker.py"), "--connect", at])
        assert worker.line().startswith("connected to ")
    counts = start([*command(caller, there / "pool_caller.py"), "--connect", at]).finish()
    assert counts == printed("router", "pool")
