"""What is called in daffi 3.0.1: `server`, or `router` and `worker HOST:PORT [NAME]`."""

import socket
import sys

from daffi import Client, Router, Service, callback


@callback
def echo(payload):
    return payload


@callback
def add(a, b):
    return a + b


role, at = sys.argv[1], sys.argv[2:]
if role == "worker":
    host, port = at[0].split(":")
    node = Client(app_name=at[1] if at[1:] else "worker", host=host, port=int(port))
    node.connect()
    print(role, flush=True)
else:
    with socket.socket() as probe:  # 3.0.1 does not say which port it got for 0
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = {"server": Service, "router": Router}[role]
    node = made(app_name="echo", host="127.0.0.1", port=port)
    node.start()
    print(f"127.0.0.1:{port}", flush=True)
sys.stdin.read()  # the other end closes with the benchmark
node.stop()
