"""Uploads what a generator yields to stream_service.py: with an answer per chunk, then without."""

from addresses import parse
from daffi import Client

address = parse("connect", "tcp://127.0.0.1:5009")
client = Client(app_name="stream-client", host=address.host, port=address.port)
conn = client.connect()


def source(chunks, size):
    for number in range(chunks):
        yield bytes([number % 256]) * size


def show(name):
    summary = conn.rpc(timeout=30).finish()
    print(f"{name}: {summary['chunks']} chunks, {summary['bytes']} bytes, sha256 {summary['sha256']}")


conn.stream(timeout=30).receive_chunk(source(100, 64 * 1024))
show("stream")
conn.stream_nowait().receive_chunk(source(1000, 1024))
show("stream_nowait")

client.stop()
