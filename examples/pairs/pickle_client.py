"""Sends and receives Python's own types to pickle_service.py."""

from datetime import datetime
from decimal import Decimal

from addresses import parse
from daffi import Client, SerdeFormat

address = parse("connect", "tcp://127.0.0.1:5003")
client = Client(app_name="pickle-client", host=address.host, port=address.port)
rpc = client.connect().rpc(timeout=5, serde=SerdeFormat.PICKLE)

print("shift:", rpc.shift(datetime(2024, 2, 28, 12, 30), 2).isoformat())
print("total:", rpc.total([Decimal("9.95"), Decimal("2.80")]))
print("unique:", sorted(rpc.unique([3, 1, 3, 2, 1])))
print("swap:", *rpc.swap((1, "one")))

client.stop()
