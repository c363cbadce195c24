"""A router: unlike a service it tells its clients about each other."""

from addresses import parse
from daffi import Router

address = parse("listen", "tcp://127.0.0.1:5008")
router = Router(app_name="events-router", host=address.host, port=address.port)
router.start()
print(f"listening on {address.text}", flush=True)
router.join()
