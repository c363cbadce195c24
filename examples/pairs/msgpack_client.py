"""Calls msgpack_service.py in MSGPACK."""

from addresses import parse
from daffi import Client, SerdeFormat

address = parse("connect", "tcp://127.0.0.1:5006")
client = Client(app_name="msgpack-client", host=address.host, port=address.port)
rpc = client.connect().rpc(timeout=5, serde=SerdeFormat.MSGPACK)

stats = rpc.stats([3, -1, 10])
print("stats:", stats["min"], stats["max"], stats["sum"])
for name, number in sorted(rpc.byte_sums({"a.txt": b"hello", "b.bin": b"\x00\xff"}).items()):
    print(f"byte sum of {name}: {number}")
print("halves:", *(half.hex() for half in rpc.halves(b"\x01\x02\x03")))

client.stop()
