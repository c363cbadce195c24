"""Runs up to four callbacks at the same time."""

import time

from addresses import parse
from daffi import Service, callback


@callback
def slow_square(number):
    time.sleep(1)
    return number * number


address = parse("listen", "tcp://127.0.0.1:5010")
service = Service(app_name="workers-service", host=address.host, port=address.port, workers=4)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
