"""Programs that others run: workers of gunicorn, pytest-xdist, pools of processes."""

import concurrent.futures
import subprocess
import sys
import urllib.request

import pytest
from conftest import LONGEST, free_port

from daffi_rs import Service, callback

APP = """
import os, threading
from daffi_rs import Client

lock, conn = threading.Lock(), None

def connected():
    global conn
    with lock:
        if conn is None:
            conn = Client(host="127.0.0.1", port=int(os.environ["SERVICE"])).connect()
        return conn

def app(environ, start_response):
    number = int(environ["PATH_INFO"].strip("/"))
    answer = connected().rpc(timeout=30).double(number)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{answer} {os.getpid()}".encode()]
"""


@pytest.mark.parametrize("kind", ["sync", "gthread"])
@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_workers_of_gunicorn_make_clients_of_their_own(start, tmp_path, kind, preload):
    @callback
    def double(number):
        return 2 * number

    (tmp_path / "web.py").write_text(APP)
    at = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, "-m", "gunicorn", "--bind", at, "--workers", "2", "--worker-class", kind, "--threads", "4"]
    with Service("service", "127.0.0.1", 0, workers=4) as service:
        program = start(
            [*argv, "--chdir", str(tmp_path), *["--preload"] * preload, "web:app"], {"SERVICE": str(service.port)}
        )

        def ask(number):
            # gunicorn listens before its workers run; what comes then waits.
            with urllib.request.urlopen(f"http://{at}/{number}", timeout=LONGEST) as answer:
                return answer.read().split()

        while not program._errors or not any("Listening at" in line for line in program._errors):
            assert program.process.poll() is None, program.story("ended")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(80)))
        assert [int(double) for double, _ in answers] == [2 * number for number in range(80)]
        assert str(program.process.pid).encode() not in {process for _, process in answers}
        program.stop()


SUITE = """
import pytest
from daffi_rs import Client, Service, callback
from daffi_rs.registry._executor_registry import EXECUTOR_REGISTRY

@pytest.fixture
def conn():
    EXECUTOR_REGISTRY.registry.clear()

    @callback
    def echo(value):
        return value

    with Service(host="127.0.0.1", port=0) as service, Client(host="127.0.0.1", port=service.port) as conn:
        yield conn

@pytest.mark.parametrize("number", range(20))
def test_echo(conn, number):
    assert conn.rpc(timeout=30).echo(number) == number
"""


def test_suites_run_in_processes_of_xdist(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    argv = [sys.executable, "-m", "pytest", "--numprocesses", "2", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=LONGEST, cwd=tmp_path)
    assert ran.returncode == 0 and "20 passed" in ran.stdout, ran.stdout + ran.stderr


POOL = """
import concurrent.futures, multiprocessing, sys
from daffi_rs import Client

def double(at):
    port, number = at
    with Client(host="127.0.0.1", port=port) as conn:
        return conn.rpc(timeout=30).double(number)

if __name__ == "__main__":
    port, how = int(sys.argv[1]), sys.argv[2]
    # A client of the parent, which its children inherit by a fork and leave alone.
    with Client(host="127.0.0.1", port=port) as conn:
        assert conn.rpc(timeout=30).double(1) == 2
        context = multiprocessing.get_context(how)
        with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
            print(list(pool.map(double, [(port, number) for number in range(9)])))
        assert conn.rpc(timeout=30).double(2) == 4
"""


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_pools_of_processes(start, tmp_path, how):
    @callback
    def double(number):
        return 2 * number

    (tmp_path / "pool.py").write_text(POOL)
    with Service("service", "127.0.0.1", 0, workers=4) as service:
        program = start([sys.executable, str(tmp_path / "pool.py"), str(service.port), how])
        assert program.finish() == [str([2 * number for number in range(9)])]
