"""Calls the methods of class_callbacks_service.py; the object at the other end keeps its state."""

from addresses import parse
from daffi import Client
from daffi.exceptions import TransmissionFailure

address = parse("connect", "tcp://127.0.0.1:5002")
client = Client(app_name="text-client", host=address.host, port=address.port)
conn = client.connect()

print("upper:", conn.rpc(timeout=5).upper("daffi"))
conn.rpc(timeout=5).set_separator("-")
print("join_words:", conn.rpc(timeout=5).join_words(["a", "b", "c"]))
for name in ("reset", "_private"):
    try:
        getattr(conn.rpc(timeout=5), name)()
    except TransmissionFailure:
        print(name, "is not exported")

client.stop()
