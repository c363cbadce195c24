"""Starts before the workers do, and waits until those it needs are there."""

from addresses import parse
from daffi import Client

address = parse("connect", "tcp://127.0.0.1:6000")
caller = Client(app_name="members-caller", host=address.host, port=address.port)
conn = caller.connect()

print("waiting for east and west", flush=True)
conn.wait_for_members("east", "west", interval=0.1)
for name in ["east", "west"]:
    print(conn.rpc(timeout=5, receiver=name).status())

try:
    conn.wait_for_members("north", timeout=1, interval=0.1)
except TimeoutError:
    print("north did not come within a second")

caller.stop()
