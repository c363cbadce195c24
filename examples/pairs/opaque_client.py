"""Sends raw bytes and text to opaque_service.py. A number arrives as its text."""

from addresses import parse
from daffi import Client, SerdeFormat

address = parse("connect", "tcp://127.0.0.1:5005")
client = Client(app_name="opaque-client", host=address.host, port=address.port)
rpc = client.connect().rpc(timeout=5, serde=SerdeFormat.OPAQUE)

print("reverse:", rpc.reverse(bytes([0, 1, 2, 255])).hex())
print("shout:", rpc.shout("hello"))
print("shout:", rpc.shout(42))
print("size:", rpc.size(bytes(1_000_000)))

client.stop()
