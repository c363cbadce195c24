"""Whom clients trust: by names and authorities, and in compat mode as 3.0.1 does."""

import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import pytest

from daffi_rs import Service, callback

#: A call of a service of TLS, by a program that says what came of it.
CALLING = """
    import sys
    from {library} import Client
    client = Client("client", "127.0.0.1", int(sys.argv[1]), tls=True, ca_file=sys.argv[2])
    try:
        print(client.connect().rpc(timeout=10).add(1, 2), flush=True)
    except Exception as error:
        print("InitializationError" if any(cls.__name__ == "InitializationError" for cls in type(error).__mro__) else repr(error), flush=True)
    import os
    os._exit(0)
"""


def openssl(where, *lines):
    for line in lines:
        subprocess.run(f"openssl {line}", shell=True, check=True, cwd=where, capture_output=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the pages of 3.0.1 have users make: an authority, and a certificate that it issued, of X.509 version 1."""
    where = tmp_path_factory.mktemp("certificates")
    openssl(
        where,
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.crt -subj '/CN=my authority'",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=127.0.0.1",
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2",
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout other.key -out other.crt -subj '/CN=my authority'",
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout self.key -out self.crt -subj /CN=elsewhere",
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out named.crt -days 2 -extfile named.ext"
        if (where / "named.ext").write_text("subjectAltName=DNS:elsewhere\n")
        else "version",
    )
    shutil.copy(where / "server.key", where / "named.key")
    return where


@pytest.mark.parametrize(
    "shown, authority, lax",
    [
        ("server", "ca", "3"),
        ("named", "ca", "3"),
        ("self", "self", "3"),
        ("server", "other", "InitializationError"),
        ("server", "server", "InitializationError"),
        ("self", "ca", "InitializationError"),
    ],
)
def test_compat_looks_at_who_issued_a_certificate_as_3_0_1_does(start, tmp_path, made, shown, authority, lax):
    @callback
    def add(a, b):
        return a + b

    cert, key = (str(made / f"{shown}.{kind}") for kind in ("crt", "key"))

    def call(python, library, **env):
        path = pathlib.Path(tmp_path, "calling.py")
        path.write_text(textwrap.dedent(CALLING.format(library=library)))
        return start([python, str(path), str(service.port), str(made / f"{authority}.crt")], env).finish()

    with Service("service", "127.0.0.1", 0, tls=True, cert_file=cert, key_file=key) as service:
        assert call(sys.executable, "daffi_rs") == ["InitializationError"]
        assert call(sys.executable, "daffi_rs", DAFFI_RS_COMPAT="1", PYTHONWARNINGS="ignore") == [lax]
        assert (call(os.environ["DAFFI_PYTHON"], "daffi") == ["3"]) == (lax == "3")
