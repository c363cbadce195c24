"""The calling end in daffi 3.0.1: works for as many milliseconds as each line of standard input says.

`client.py HOST PORT FORMAT [NAME [RECEIVER]]`
"""

import json
import sys
import time

from daffi import Client, SerdeFormat

host, port, format = sys.argv[1], int(sys.argv[2]), sys.argv[3]
name, receiver = (sys.argv[4:] + ["python", None][len(sys.argv[4:]) :])[:2]
client = Client(app_name=name, host=host, port=port)
rpc = client.connect().rpc(timeout=5, serde=getattr(SerdeFormat, format), receiver=receiver)
payload = b"\7" * 32


def call():
    if format == "OPAQUE":
        assert rpc.echo(payload) == payload
    else:
        assert rpc.add(3, 4) == 7


print("connected", flush=True)
for line in sys.stdin:
    latencies = []
    begun = sent = time.perf_counter()
    until = begun + int(line) / 1000
    while sent < until:
        call()
        now = time.perf_counter()
        latencies.append((now - sent) * 1e6)
        sent = now
    latencies.sort()
    at = lambda share: latencies[int(len(latencies) * share)]
    outcome = {"calls": len(latencies), "seconds": sent - begun, "p50": at(0.5), "p99": at(0.99)}
    print(json.dumps(outcome), flush=True)
client.stop()
