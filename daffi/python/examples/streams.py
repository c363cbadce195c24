"""Results one by one, arguments one by one, and both at once."""

import itertools

from daffi_rs import Client, Incoming, Service, callback


@callback
def squares():
    """Without end: as many are made as somebody takes."""
    for number in itertools.count():
        yield number * number


@callback
def total(numbers: Incoming[int]):
    return sum(numbers)


@callback
def doubled(numbers: Incoming[int]):
    for number in numbers:
        yield 2 * number


with Service(host="127.0.0.1", port=0) as service, Client(host="127.0.0.1", port=service.port) as conn:
    with conn.rpc(timeout=30).squares() as results:
        print(f"first three: {list(itertools.islice(results, 3))}")
    print(f"total: {conn.rpc(timeout=30, items=range(10)).total()}")
    print(f"doubled: {list(conn.rpc(items=range(3), results=True).doubled())}")
