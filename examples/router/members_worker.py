"""A worker that comes when it comes; members_caller.py waits for it."""

from addresses import parse
from daffi import Client, callback

address = parse("connect", "tcp://127.0.0.1:6000", name="east")


@callback
def status():
    return f"ready in the {address.name}"


worker = Client(app_name=address.name, host=address.host, port=address.port)
worker.connect()
print(f"connected to {address.text}", flush=True)
worker.join()
