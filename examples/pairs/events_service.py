"""A service that tells who comes and goes."""

from addresses import parse
from daffi import Service

address = parse("listen", "tcp://127.0.0.1:5008")
service = Service(app_name="events-service", host=address.host, port=address.port)


@service.on_member_added
def added(member):
    print("added:", member, flush=True)


@service.on_member_removed
def removed(member):
    print("removed:", member, flush=True)


service.start()
print(f"listening on {address.text}", flush=True)
service.join()
