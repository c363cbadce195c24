"""Takes uploads; one of several workers that do."""

import hashlib

from addresses import parse
from daffi import Client, callback


@callback
class Upload:
    def __init__(self):
        self._begin()

    def _begin(self):
        self.size, self.digest = 0, hashlib.sha256()

    def receive_chunk(self, data):
        self.size += len(data)
        self.digest.update(data)

    def finish(self):
        """What arrived since the last finish."""
        summary = f"{self.size} bytes, sha256 {self.digest.hexdigest()}"
        self._begin()
        return summary


address = parse("connect", "tcp://127.0.0.1:6000", name="east")
worker = Client(app_name=address.name, host=address.host, port=address.port)
worker.connect()
print(f"connected to {address.text}", flush=True)
worker.join()
