"""Gives back what it gets, in whatever format it came."""

from addresses import parse
from daffi import Client, callback


# The answer takes the format of the call.
@callback
def echo(value):
    return value


address = parse("connect", "tcp://127.0.0.1:6000")
worker = Client(app_name="formats-worker", host=address.host, port=address.port)
worker.connect()
print(f"connected to {address.text}", flush=True)
worker.join()
