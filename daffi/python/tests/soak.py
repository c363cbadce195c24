"""Callers, plain and async, of workers that are killed at random: `python soak.py SECONDS`.

Every call ends, with its own answer or with an error, and memory does not grow. The last line tells the counts; the exit
code is not zero when a call hung, an answer was another's, or memory grew.
"""

import asyncio
import collections
import gc
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc

import daffi_rs.aio
from daffi_rs import Client, Router, callback
from daffi_rs import exceptions as failures

#: Seconds that a call may take, and in which it must have ended for certain.
TIMEOUT, CERTAIN = 5, 15
#: What is measured of this process, and by how much it may grow from the first third to the last. References are counted
#: by interpreters that were built to count them.
MOST = {"KiB": 24 * 1024, "objects": 5000, "KiB that Python allocated": 4 * 1024, "references": 50_000}

counts = collections.Counter()
begun = {}
tokens = itertools.count()


def worker(port, name, kind):
    @callback
    def echo(token):
        return token

    @callback
    def count(token, to):
        for number in range(to):
            yield token + number

    @callback
    def fail(token):
        raise ValueError(token)

    if kind == "plain":
        client = Client(name, "127.0.0.1", port, workers=4)
        client.connect()
        client.join()
        return

    async def program():
        client = daffi_rs.aio.AsyncClient(name, "127.0.0.1", port, workers=4)
        await client.connect()
        await client.join()

    asyncio.run(program())


def judged(what, token, answer):
    expected = {"echo": token, "fail": str(token), "count": [token + number for number in range(20)]}[what]
    counts["crossed" if answer != expected else what] += 1


def call(conn):
    what, token = random.choice(["echo", "echo", "fail", "count"]), next(tokens) * 1000
    begun[token] = time.monotonic()
    try:
        if what == "count":
            judged(what, token, list(conn.rpc(timeout=TIMEOUT, results=True).count(token, 20)))
        elif what == "fail":
            conn.rpc(timeout=TIMEOUT).fail(token)
        else:
            judged(what, token, conn.rpc(timeout=TIMEOUT).echo(token))
    except failures.RemoteCallError as error:
        judged("fail", token, str(error))
    except (failures.TransmissionFailure, TimeoutError) as error:
        counts[type(error).__name__] += 1
        time.sleep(0.01)
    finally:
        del begun[token]


async def call_async(conn):
    token = next(tokens) * 1000
    begun[token] = time.monotonic()
    try:
        if random.random() < 0.3:
            results = [number async for number in conn.rpc(timeout=TIMEOUT).count(token, 20)]
            judged("count", token, results)
        else:
            judged("echo", token, await asyncio.wait_for(conn.rpc().echo(token), TIMEOUT))
    except (failures.TransmissionFailure, TimeoutError, asyncio.TimeoutError) as error:
        counts[type(error).__name__] += 1
        await asyncio.sleep(0.01)
    finally:
        del begun[token]


def resident():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def size():
    gc.collect()
    references = getattr(sys, "gettotalrefcount", lambda: 0)()
    return dict(zip(MOST, (resident(), len(gc.get_objects()), tracemalloc.get_traced_memory()[0] // 1024, references)))


def main(seconds):
    tracemalloc.start()
    end = time.monotonic() + seconds
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    router = Router("router", "127.0.0.1", port)
    router.start()

    def start(number):
        kind = "plain" if number % 2 else "async"
        return subprocess.Popen([sys.executable, __file__, "worker", str(port), f"worker-{number}", kind])

    workers = [start(number) for number in range(4)]
    conn = Client("caller", "127.0.0.1", port).connect()
    conn.wait_for_members(*[f"worker-{number}" for number in range(4)], timeout=60)

    def calls():
        while time.monotonic() < end:
            call(conn)

    async def async_calls():
        async with daffi_rs.aio.AsyncClient("async-caller", "127.0.0.1", port) as there:

            async def one_after_another():
                while time.monotonic() < end:
                    await call_async(there)

            await asyncio.gather(*(one_after_another() for _ in range(8)))

    threads = [threading.Thread(target=calls, daemon=True) for _ in range(8)]
    threads.append(threading.Thread(target=lambda: asyncio.run(async_calls()), daemon=True))
    for thread in threads:
        thread.start()
    sizes = []
    while time.monotonic() < end:
        time.sleep(random.uniform(0.5, 2))
        number = random.randrange(4)
        workers[number].send_signal(random.choice([signal.SIGKILL, signal.SIGTERM]))
        workers[number].wait()
        counts["killed"] += 1
        workers[number] = start(number)
        sizes.append(size())
        counts["hung"] = sum(1 for at in list(begun.values()) if time.monotonic() - at > CERTAIN)
        if counts["hung"]:
            break
    for thread in threads:
        thread.join(CERTAIN)
    counts["hung"] += sum(thread.is_alive() for thread in threads)
    for each in workers:
        each.kill()
        each.wait()
    third = max(len(sizes) // 3, 1)
    grew = False
    for what, most in MOST.items():
        before, after = (max(each[what] for each in part) for part in (sizes[:third], sizes[-third:]))
        print(f"{before} to {after} {what}")
        grew |= after - before > most
    print(dict(counts))
    sys.stdout.flush()
    os._exit(bool(counts["hung"] or counts["crossed"] or grew))


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(int(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        main(float(sys.argv[1]))
