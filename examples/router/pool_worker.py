"""The Python half of a pool: pool_worker.rs beside this file exposes the same callback, and callers see no difference."""

from addresses import parse
from daffi import Client, callback


@callback
def language():
    return "Python"


address = parse("connect", "tcp://127.0.0.1:6000")
worker = Client(app_name="python-worker", host=address.host, port=address.port)
worker.connect()
print(f"connected to {address.text}", flush=True)
worker.join()
