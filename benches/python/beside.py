"""daffi 3.0.1 and daffi_rs beside each other: `beside.py INTERPRETER_OF_3_0_1 INTERPRETER_OF_DAFFI_RS`.

Each round runs the same program with both, a service in a process of its own. What is told is the median of the ratios:
calls by the second of CPU that both ends take, and the memory of an idle client.
"""

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
BARS = {"one": 1.5, "threads": 2.0, "mebibytes": 1.5, "idle": 4.0}


def library(name):
    return __import__(name)


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


def add(a, b):
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


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


def measured(interpreter, name):
    port = free_port()
    argv = [interpreter, __file__]
    server = subprocess.Popen([*argv, "serve", name, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    server.stdout.readline()
    try:
        told = subprocess.run([*argv, "call", name, port], stdout=subprocess.PIPE, text=True, check=True, timeout=300)
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
    if sys.argv[1] in ("serve", "call"):
        {"serve": serve, "call": call}[sys.argv[1]](library(sys.argv[2]), int(sys.argv[3]))
    else:
        main(*sys.argv[1:])
