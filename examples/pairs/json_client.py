"""Calls json_service.py in JSON."""

import json

from addresses import parse
from daffi import Client, SerdeFormat

address = parse("connect", "tcp://127.0.0.1:5004")
client = Client(app_name="json-client", host=address.host, port=address.port)
rpc = client.connect().rpc(timeout=5, serde=SerdeFormat.JSON)

user = {"name": "ada lovelace", "age": 36, "tags": ["poet", "math"]}
print("describe:", json.dumps(rpc.describe(user), sort_keys=True, separators=(",", ":")))
print("average:", rpc.average([1, 2, 4.5]))

client.stop()
