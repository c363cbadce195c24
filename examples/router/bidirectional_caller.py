"""Calls, and is called back before it has its answer: any node behind a router may do both."""

from addresses import parse
from daffi import Client, callback


@callback
def progress(text):
    print("progress:", text)


address = parse("connect", "tcp://127.0.0.1:6000")
caller = Client(app_name="customer", host=address.host, port=address.port)
conn = caller.connect()

# This call is open while `progress` runs. Two callbacks that wait for each other would wait for a timeout.
print("bake:", conn.rpc(timeout=10).bake(3, "customer"))

caller.stop()
