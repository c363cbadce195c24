"""Four slow calls at once take as long as one when workers_service.py has four workers."""

import time
from concurrent.futures import ThreadPoolExecutor

from addresses import parse
from daffi import Client

address = parse("connect", "tcp://127.0.0.1:5010")
client = Client(app_name="workers-client", host=address.host, port=address.port)
conn = client.connect()

started = time.monotonic()
with ThreadPoolExecutor(max_workers=4) as pool:
    squares = list(pool.map(conn.rpc(timeout=10).slow_square, [1, 2, 3, 4]))
elapsed = time.monotonic() - started
print("squares:", *squares)
print("at the same time:", "yes" if elapsed < 3 else "no")  # an answer may be noticed a second late

client.stop()
