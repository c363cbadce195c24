"""Calls the functions of rpc_service.py by name."""

from addresses import parse
from daffi import Client
from daffi.exceptions import RemoteCallError

address = parse("connect", "tcp://127.0.0.1:5001")
client = Client(app_name="rpc-client", host=address.host, port=address.port)
conn = client.connect()

print("add:", conn.rpc(timeout=5).add(1, 2))
print("greet:", conn.rpc(timeout=5).greet("world"))
print("greet:", conn.rpc(timeout=5).greet("world", greeting="Good morning"))
print("divide:", conn.rpc(timeout=5).divide(7, 2))
try:
    conn.rpc(timeout=5).divide(1, 0)
except RemoteCallError as error:
    print("divide failed:", error)
conn.rpc_nowait().greet("nobody waits")
print("cast:", conn.cast(timeout=5).add(20, 22)["rpc-service"])

client.stop()
