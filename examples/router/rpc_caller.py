"""Calls the functions of rpc_worker.py through router.py, as if the router had them."""

from addresses import parse
from daffi import Client
from daffi.exceptions import RemoteCallError, TransmissionFailure

address = parse("connect", "tcp://127.0.0.1:6000")
caller = Client(app_name="rpc-caller", host=address.host, port=address.port)
conn = caller.connect()

# Whoever exposes `add`; when several do, they take turns.
print("add:", conn.rpc(timeout=5).add(1, 2))
# This one and nobody else.
print("greet:", conn.rpc(timeout=5, receiver="rpc-worker").greet("router"))
conn.rpc_nowait().greet("nobody waits")

try:
    conn.rpc(timeout=5).divide(1, 0)
except RemoteCallError as error:
    print("divide failed on rpc-worker:", error)
try:
    conn.rpc(timeout=5).subtract(3, 4)
except TransmissionFailure:
    print("nobody exposes subtract")

caller.stop()
