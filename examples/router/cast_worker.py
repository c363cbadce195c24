"""One of several workers that expose the same callback, each with a part of the data."""

from addresses import parse
from daffi import Client, callback

address = parse("connect", "tcp://127.0.0.1:6000", name="east")
people = {"ada": 1815, "grace": 1906} if address.name == "east" else {"alan": 1912, "edsger": 1930}


@callback
def born(person):
    if person not in people:
        raise LookupError(f"{person} is not here")
    return people[person]


worker = Client(app_name=address.name, host=address.host, port=address.port)
worker.connect()
print(f"connected to {address.text}", flush=True)
worker.join()
