"""Takes an upload chunk by chunk."""

import hashlib

from addresses import parse
from daffi import Service, callback


@callback
class Upload:
    def __init__(self):
        self._begin()

    def _begin(self):
        self.chunks, self.size, self.digest = 0, 0, hashlib.sha256()

    def receive_chunk(self, data):
        self.chunks += 1
        self.size += len(data)
        self.digest.update(data)

    def finish(self):
        """What arrived since the last finish."""
        summary = {"chunks": self.chunks, "bytes": self.size, "sha256": self.digest.hexdigest()}
        self._begin()
        return summary


address = parse("listen", "tcp://127.0.0.1:5009")
service = Service(app_name="stream-service", host=address.host, port=address.port)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
