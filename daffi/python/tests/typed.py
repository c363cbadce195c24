"""A program of a user, as mypy --strict sees it; the tests run it, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from daffi_rs import Client, Incoming, SerdeFormat, Service, alias, callback, current_call, local, trust
from daffi_rs.aio import AsyncClient, AsyncService
from daffi_rs.exceptions import CallTimeout, RemoteCallError


@callback
def typed_add(a: int, b: int = 2) -> int:
    return a + b


@callback(name="typed_twice")
def twice(text: str) -> str:
    return f"{current_call().caller}: {text * 2}"


@callback
def typed_rows(to: int) -> Iterator[int]:
    yield from range(to)


@callback
async def typed_rows_later(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


@callback
def typed_total(numbers: Incoming[int]) -> int:
    return sum(numbers)


@trust
class Model:
    pass


@callback
class Methods:
    @alias("typed_named")
    def typed_method(self, value: Model) -> str:
        return type(value).__name__

    @local
    def hidden(self) -> None:
        pass


def main() -> None:
    service = Service(app_name="typed", host="127.0.0.1", port=0, workers=2)

    @service.on_member_added
    def added(member: str) -> None:
        del member

    service.start()
    assert service.port is not None
    client = Client(app_name="caller", host="127.0.0.1", port=service.port)
    conn = client.connect()
    total: int = conn.rpc(timeout=5.5, serde=SerdeFormat.MSGPACK).typed_add(1, b=2)
    assert total == 3
    assert [*conn.rpc().typed_rows(3), *conn.rpc().typed_rows_later(2)] == [0, 1, 2, 0, 1]
    assert conn.rpc(items=[1, 2]).typed_total() == 3
    assert conn.rpc().typed_method(Model()) == conn.rpc().typed_named(Model()) == "Model"
    answers: dict[str, object] = conn.cast(receiver=["typed"]).typed_add(1)
    assert answers == {"typed": 3}
    try:
        conn.rpc(timeout=0.5).typed_add()
    except CallTimeout as error:
        print(error.receivers)
    except RemoteCallError as error:
        assert error.receiver == "typed"
    client.stop()
    service.stop()
    asyncio.run(later())


async def later() -> None:
    async with AsyncService("typed-later", "127.0.0.1", 0) as service:
        async with AsyncClient("caller", "127.0.0.1", service.port) as conn:
            assert await conn.rpc().typed_add(1) == 3
            assert [row async for row in conn.rpc().typed_rows_later(2)] == [0, 1]


if __name__ == "__main__":
    main()
    print("done")
