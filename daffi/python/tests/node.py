"""A node made in Python, for `scripts/adversary`: `node.py service`, `aio`, `router` or `worker ENDPOINT`.

It says where it listens, and runs until it is ended.
"""

import asyncio
import logging
import sys

import daffi_rs.aio
from daffi_rs import Client, Router, Service, callback


@callback
def add(*numbers):
    return sum(numbers)


async def serve():
    async with daffi_rs.aio.AsyncService("service", "127.0.0.1", 0, workers=4) as service:
        print(service.endpoints[0], flush=True)
        await service.join()


def main(kind, *endpoint):
    if kind == "aio":
        asyncio.run(serve())
    elif kind == "worker":
        client = Client("demo", addresses=list(endpoint), workers=4)
        client.connect()
        client.join()
    else:
        made = {"service": Service, "router": Router}[kind]
        with made(kind, "127.0.0.1", 0, workers=4) as node:
            print(node.endpoints[0], flush=True)
            node.join()


if __name__ == "__main__":
    # What is said of each hostile peer is much, and takes time of its own.
    logging.getLogger("daffi_rs").setLevel(logging.ERROR)
    main(*sys.argv[1:])
