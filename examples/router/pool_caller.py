"""Calls a pool of two workers, one in Rust and one in Python, which take turns."""

from collections import Counter

from addresses import parse
from daffi import Client

address = parse("connect", "tcp://127.0.0.1:6000")
caller = Client(app_name="pool-caller", host=address.host, port=address.port)
conn = caller.connect()
conn.wait_for_members("rust-worker", "python-worker", timeout=10, interval=0.1)

counts = Counter(conn.rpc(timeout=10).language() for _ in range(100))
for language, calls in sorted(counts.items()):
    print(f"{language}: {calls} calls")

caller.stop()
