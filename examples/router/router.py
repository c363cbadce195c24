"""Joins nodes that call each other, all at one address. Start it first; then workers, then callers."""

from addresses import parse
from daffi import Router

address = parse("listen", "tcp://127.0.0.1:6000")
# It exposes nothing itself, and need not know what passes through it.
router = Router(app_name="router", host=address.host, port=address.port)
router.start()
print(f"listening on {address.text}", flush=True)
router.join()
