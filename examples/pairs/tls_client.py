"""Calls tls_service.py after verifying its certificate."""

import os
import sys

from addresses import parse
from daffi import Client

address = parse("connect", "tls://127.0.0.1:5007", "ca")
client = Client(app_name="tls-client", host=address.host, port=address.port, tls=True, ca_file=address.ca)
conn = client.connect()

print("add:", conn.rpc(timeout=5).add(1, 2))
print("secret:", conn.rpc(timeout=5).secret("tls-client"))

# Not client.stop(), and no ordinary end either: closing a TLS client crashes daffi 3.0.1.
sys.stdout.flush()
os._exit(0)
