"""A service on a unix socket. daffi 3.0.1 cuts a server's path to 26 bytes, so keep it short."""

from addresses import parse
from daffi import Service, callback


@callback
def add(a, b):
    return a + b


@callback
def greet(name):
    return f"Hello, {name}!"


address = parse("listen", "unix:///tmp/daffi-unix.sock")
service = Service(app_name="unix-service", host=address.host, port=address.port)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
