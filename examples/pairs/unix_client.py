"""Calls unix_service.py over its socket file."""

from addresses import parse
from daffi import Client

address = parse("connect", "unix:///tmp/daffi-unix.sock")
client = Client(app_name="unix-client", host=address.host, port=address.port)
conn = client.connect()

print("add:", conn.rpc(timeout=5).add(40, 2))
print("greet:", conn.rpc(timeout=5).greet("unix"))

client.stop()
