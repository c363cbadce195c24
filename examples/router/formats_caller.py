"""The caller chooses the format of each call. A router reads none of them: it passes the bytes on."""

import json
from decimal import Decimal

from addresses import parse
from daffi import Client, SerdeFormat

address = parse("connect", "tcp://127.0.0.1:6000")
caller = Client(app_name="formats-caller", host=address.host, port=address.port)
conn = caller.connect()


def rpc(serde):
    return conn.rpc(timeout=5, serde=serde)


# Python's own types.
print("PICKLE:", rpc(SerdeFormat.PICKLE).echo(Decimal("9.95")))
# What JSON has; no bytes.
print("JSON:", json.dumps(rpc(SerdeFormat.JSON).echo({"name": "Ada"}), separators=(",", ":")))
# Compact; bytes may stand inside of other values. Needs the package msgpack at both ends.
print("MSGPACK: a.bin is", rpc(SerdeFormat.MSGPACK).echo({"a.bin": b"\x00\xff"})["a.bin"].hex())
# One argument, as it is.
print("OPAQUE:", rpc(SerdeFormat.OPAQUE).echo(b"\x01\x02\x03").hex())

caller.stop()
