"""Calls that are given up, and callbacks that see it."""

import queue
import time

from daffi_rs import Client, Service, callback, current_call
from daffi_rs.exceptions import CallTimeout

stopped = queue.Queue()


@callback
def nap():
    call = current_call()
    while not call.cancelled:
        time.sleep(0.01)
    stopped.put(f"no one waits for {call.name}")
    # The time is over at both ends at once: an answer right now might still find its caller.
    time.sleep(1)


@callback
def rows():
    given = 0
    try:
        while True:
            given += 1
            yield given
    finally:
        stopped.put("the rows were closed")


with Service(host="127.0.0.1", port=0) as service, Client(host="127.0.0.1", port=service.port) as conn:
    try:
        conn.rpc(timeout=0.2).nap()
    except CallTimeout as error:
        print(f"late: {error.method} timed out")
    print(f"stopped: {stopped.get(timeout=30)}")

    taken = 0
    with conn.rpc(timeout=30).rows() as results:
        for _ in results:
            taken += 1
            if taken == 2:
                break
    print(f"stopped: {stopped.get(timeout=30)} after {taken}")
