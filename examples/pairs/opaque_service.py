"""OPAQUE hands bytes and text on as they are; a function takes exactly one argument then."""

from addresses import parse
from daffi import Service, callback


@callback
def reverse(data):
    return data[::-1]


@callback
def shout(text):
    return text.upper() + "!"


@callback
def size(data):
    return len(data)


address = parse("listen", "tcp://127.0.0.1:5005")
service = Service(app_name="opaque-service", host=address.host, port=address.port)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
