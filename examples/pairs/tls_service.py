"""A service behind TLS. README.md shows how to make the certificate."""

from addresses import parse
from daffi import Service, callback


@callback
def add(a, b):
    return a + b


@callback
def secret(name):
    return f"only {name} can read this"


address = parse("listen", "tls://127.0.0.1:5007", "cert", "key")
service = Service(
    app_name="tls-service",
    host=address.host,
    port=address.port,
    tls=True,
    cert_file=address.cert,
    key_file=address.key,
)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
