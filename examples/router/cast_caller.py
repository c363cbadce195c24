"""Asks all workers at once: whoever has the answer gives it, the others say why not."""

from addresses import parse
from daffi import Client

address = parse("connect", "tcp://127.0.0.1:6000")
caller = Client(app_name="cast-caller", host=address.host, port=address.port)
conn = caller.connect()


def show(answers):
    """One worker's failure is no failure of the others: its exception stands in the place of its answer."""
    for worker, answer in sorted(answers.items()):
        print(f"{worker}: {answer}")


print("all are asked for ada")
show(conn.cast(timeout=5).born("ada"))
print("west is asked for alan")
show(conn.cast(timeout=5, receiver=["west"]).born("alan"))
# To all, and nobody waits.
conn.cast_nowait().born("grace")

caller.stop()
