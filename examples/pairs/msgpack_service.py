"""MSGPACK: compact, and bytes may stand inside of other values. Needs the package msgpack."""

from addresses import parse
from daffi import Service, callback


@callback
def stats(numbers):
    return {"min": min(numbers), "max": max(numbers), "sum": sum(numbers)}


@callback
def byte_sums(files):
    return {name: sum(data) for name, data in files.items()}


@callback
def halves(data):
    middle = len(data) // 2
    return [data[:middle], data[middle:]]


address = parse("listen", "tcp://127.0.0.1:5006")
service = Service(app_name="msgpack-service", host=address.host, port=address.port)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
