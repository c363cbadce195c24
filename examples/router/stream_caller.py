"""Uploads through a router: to one worker with an answer per chunk, to another without."""

from addresses import parse
from daffi import Client

address = parse("connect", "tcp://127.0.0.1:6000")
caller = Client(app_name="stream-caller", host=address.host, port=address.port)
conn = caller.connect()


def source(chunks, size):
    for number in range(chunks):
        yield bytes([number % 256]) * size


# Without a receiver, daffi 3.0.1 sends each chunk to another worker.
conn.stream(receiver="east", timeout=30).receive_chunk(source(100, 64 * 1024))
conn.stream_nowait(receiver="west").receive_chunk(source(1000, 1024))
for name in ["east", "west"]:
    print(f"{name}:", conn.rpc(timeout=30, receiver=name).finish())

caller.stop()
