"""A worker: a client that exposes functions, which others call through router.py."""

from addresses import parse
from daffi import Client, callback


@callback
def add(a, b):
    return a + b


@callback
def divide(a, b):
    if b == 0:
        raise ValueError("division by zero")
    return a // b


@callback
def greet(name):
    return f"Hello, {name}!"


address = parse("connect", "tcp://127.0.0.1:6000")
worker = Client(app_name="rpc-worker", host=address.host, port=address.port)
worker.connect()
print(f"connected to {address.text}", flush=True)
worker.join()
