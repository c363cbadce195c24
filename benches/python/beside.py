"""daffi 3.0.1 and daffi_rs beside each other: `beside.py INTERPRETER_OF_3_0_1 INTERPRETER_OF_DAFFI_RS`.

Each round runs the same program with both, a service in a process of its own. What is told is the median of the ratios:
calls by the second of CPU that both ends take, and the memory of an idle client.
"""

import asyncio
import importlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import threading

ROUNDS = 5
#: What is measured, and what is to be reached.
BARS = {"one": 1.5, "threads": 2.0, "mebibytes": 1.5, "aio": 1.5, "tasks": 2.0, "idle": 4.0}


def library(name):
    importlib.import_module(f"{name}.aio")
    return importlib.import_module(name)


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def serve(daffi, port):
    daffi.callback(add)
    daffi.callback(echo)
    daffi.callback(used)
    service = daffi.Service(app_name="service", host="127.0.0.1", port=port)
    service.start()
    print("listening", flush=True)
    sys.stdin.read()
    os._exit(0)


def serve_aio(daffi, port):
    async def program():
        for function in (add_async, used):
            daffi.callback(function)
        service = daffi.aio.AsyncService(app_name="service", host="127.0.0.1", port=port, workers=64)
        await service.start()
        print("listening", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        os._exit(0)

    asyncio.run(program())


def add(a, b):
    return a + b


async def add_async(a, b):
    return a + b


def echo(payload):
    return payload


def resident():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def call(daffi, port):
    # First, since what calls leave behind would make room for it. More is better in all that is found.
    clients = [daffi.Client(app_name=f"idle-{number}", host="127.0.0.1", port=port) for number in range(60)]
    for client in clients[:10]:
        client.connect()
    before = resident()
    for client in clients[10:]:
        client.connect()
    found = {"idle": 50 / max(resident() - before, 1)}
    conn = daffi.Client(app_name="caller", host="127.0.0.1", port=port).connect()

    def rate(calls, work):
        before = used() + conn.rpc(timeout=60).used()
        work()
        return calls / (used() + conn.rpc(timeout=60).used() - before)

    def one():
        for number in range(2000):
            assert conn.rpc(timeout=60).add(number, 1) == number + 1

    def threads():
        def many():
            for number in range(100):
                assert conn.rpc(timeout=60).add(number, 1) == number + 1

        running = [threading.Thread(target=many) for _ in range(64)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def mebibytes():
        payload = b"x" * (1 << 20)
        for _ in range(40):
            assert conn.rpc(timeout=60).echo(payload) == payload

    one()
    found.update(one=rate(2000, one), threads=rate(6400, threads), mebibytes=rate(40, mebibytes))
    print(json.dumps(found), flush=True)
    os._exit(0)


def call_aio(daffi, port):
    async def program():
        conn = await daffi.aio.AsyncClient(app_name="caller", host="127.0.0.1", port=port).connect()

        async def rate(calls, work):
            before = used() + await conn.rpc(timeout=60).used()
            await work()
            return calls / (used() + await conn.rpc(timeout=60).used() - before)

        async def one():
            for number in range(2000):
                assert await conn.rpc(timeout=60).add_async(number, 1) == number + 1

        async def tasks():
            async def many():
                for number in range(100):
                    assert await conn.rpc(timeout=60).add_async(number, 1) == number + 1

            await asyncio.gather(*(many() for _ in range(64)))

        await one()
        found = {"aio": await rate(2000, one), "tasks": await rate(6400, tasks)}
        print(json.dumps(found), flush=True)
        os._exit(0)

    asyncio.run(program())


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


def measured(interpreter, name):
    return {**between(interpreter, name, "serve", "call"), **between(interpreter, name, "serve_aio", "call_aio")}


def between(interpreter, name, serving, calling):
    port = free_port()
    argv = [interpreter, __file__]
    server = subprocess.Popen([*argv, serving, name, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    server.stdout.readline()
    try:
        told = subprocess.run([*argv, calling, name, port], stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    finally:
        server.kill()
        server.wait()
    return json.loads(told.stdout)


def main(old, new):
    ratios = {name: [] for name in BARS}
    for _ in range(ROUNDS):
        before, after = measured(old, "daffi"), measured(new, "daffi_rs")
        for name, of in ratios.items():
            of.append(after[name] / before[name])
    missed = False
    for name, bar in BARS.items():
        ratio = statistics.median(ratios[name])
        missed |= ratio < bar
        print(f"{name}: {ratio:.2f} times 3.0.1 ({min(ratios[name]):.2f}..{max(ratios[name]):.2f}), {bar} is the bar")
    sys.exit(missed)


if __name__ == "__main__":
    parts = {"serve": serve, "call": call, "serve_aio": serve_aio, "call_aio": call_aio}
    if sys.argv[1] in parts:
        parts[sys.argv[1]](library(sys.argv[2]), int(sys.argv[3]))
    else:
        main(*sys.argv[1:])
