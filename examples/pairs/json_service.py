"""Functions that take and return what JSON can hold."""

from addresses import parse
from daffi import Service, callback


@callback
def describe(user):
    return {"name": user["name"].title(), "adult": user["age"] >= 18, "tags": sorted(user["tags"]), "boss": None}


@callback
def average(numbers):
    return sum(numbers) / len(numbers)


address = parse("listen", "tcp://127.0.0.1:5004")
service = Service(app_name="json-service", host=address.host, port=address.port)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
