"""A service with three functions. Run it first, then rpc_client.py."""

from addresses import parse
from daffi import Service, callback


@callback
def add(a, b):
    return a + b


@callback
def greet(name, greeting="Hello"):
    return f"{greeting}, {name}!"


@callback
def divide(a, b):
    if b == 0:
        raise ValueError("division by zero")
    return a // b


address = parse("listen", "tcp://127.0.0.1:5001")
service = Service(app_name="rpc-service", host=address.host, port=address.port)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
