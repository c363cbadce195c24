"""Gives rows one by one: `rows_service.py PORT`."""

import sys

from daffi_rs import Service, callback


@callback
def rows(to):
    for number, colour in enumerate(["red", "green", "blue"][:to], 1):
        yield f"{colour} {number}"


service = Service("rows-service", "127.0.0.1", int(sys.argv[1]))
service.start()
print(f"listening on port {service.port}", flush=True)
service.join()
