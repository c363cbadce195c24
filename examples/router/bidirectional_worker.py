"""A worker that, while it works for somebody, calls a callback of theirs."""

from addresses import parse
from daffi import Client, callback


@callback
def bake(cakes, customer):
    """`customer` is the name of the node that wants to hear of the progress."""
    for cake in range(1, cakes + 1):
        # The connection that the call came on carries calls the other way, too.
        conn.rpc(timeout=5, receiver=customer).progress(f"{cake} of {cakes}")
    return f"{cakes} cakes"


address = parse("connect", "tcp://127.0.0.1:6000")
worker = Client(app_name="baker", host=address.host, port=address.port)
conn = worker.connect()
print(f"connected to {address.text}", flush=True)
worker.join()
