"""Prints rows as they come: `rows_client.py PORT`. It runs with daffi 3.0.1, too."""

import sys

from daffi import Client

client = Client("rows-client", "127.0.0.1", int(sys.argv[1]))
for row in client.connect().rpc(timeout=30).rows(3):
    print(row)
client.stop()
