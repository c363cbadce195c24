"""A worker and a caller on an event loop, behind a router."""

import asyncio

from daffi_rs import callback
from daffi_rs.aio import AsyncClient, AsyncRouter

cancelled: asyncio.Event


@callback
async def square(number):
    await asyncio.sleep(0.01)
    return number * number


@callback
async def rows(to):
    for number in range(to):
        yield f"row {number}"


@callback
async def wait():
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.set()
        raise


async def main():
    global cancelled
    cancelled = asyncio.Event()
    async with AsyncRouter("router", "127.0.0.1", 0) as router:
        async with AsyncClient("worker", "127.0.0.1", router.port, workers=8):
            async with AsyncClient("caller", "127.0.0.1", router.port) as conn:
                await conn.wait_for_members("worker", timeout=30)
                print(f"together: {await asyncio.gather(*(conn.rpc().square(number) for number in range(4)))}")
                async for row in conn.rpc().rows(2):
                    print(row)
                call = asyncio.ensure_future(conn.rpc().wait())
                await asyncio.sleep(0.2)
                call.cancel()
                await asyncio.wait_for(cancelled.wait(), 30)
                print("cancelled: the callback was, too")


asyncio.run(main())
