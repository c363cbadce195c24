"""What arguments and results travel as, in one process."""

import dataclasses
import datetime
import decimal
import uuid

import pytest

from daffi_rs import SerdeFormat, callback, trust
from daffi_rs import exceptions as failures

FORMATS = [SerdeFormat.JSON, SerdeFormat.PICKLE, SerdeFormat.MSGPACK]


@pytest.mark.parametrize("serde", FORMATS)
def test_plain_data_travels_in_every_format(network, serde):
    @callback
    def both(*args, **kwargs):
        return [list(args), kwargs]

    sent = [1, -1.5, "text", None, True, [1, [2]], {"a": {"b": 2**40}}]
    assert network().rpc(serde=serde).both(*sent, key="ä") == [sent, {"key": "ä"}]


def test_pickle_keeps_the_types_of_python(network):
    @callback
    def echo(value):
        return value

    now = datetime.datetime(2024, 2, 29, 1, 2, 3, 4, datetime.timezone(datetime.timedelta(hours=1)))
    sent = [(1, 2), {3}, frozenset([4]), now, now.date(), now.time(), datetime.timedelta(1, 2, 3), decimal.Decimal("9.95")]
    sent += [uuid.UUID(int=5), 2**80, 1j, b"\x00\xff", {1: (2,), None: b""}]
    assert network().rpc().echo(sent) == sent


def test_opaque_takes_one_argument_as_it_is(network):
    @callback
    def echo(value):
        return value

    rpc = network().rpc(serde=SerdeFormat.OPAQUE)
    assert [rpc.echo(b"\xff"), rpc.echo("text"), rpc.echo(5), rpc.echo(None)] == [b"\xff", "text", "5", "None"]
    with pytest.raises(TypeError, match="OPAQUE accepts exactly one argument"):
        rpc.echo(1, 2)


def test_large_payloads_travel(network):
    @callback
    def size(data):
        return len(data), data[:1]

    assert network().rpc().size(b"x" * (40 << 20)) == (40 << 20, b"x")


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@pytest.mark.parametrize("serde", [SerdeFormat.JSON, SerdeFormat.MSGPACK])
def test_dataclasses_travel_by_type_hints(network, serde):
    @callback
    def swapped(points: list[Point]) -> list[Point]:
        assert all(type(point) is Point for point in points)
        return [Point(point.y, point.x) for point in points]

    rpc = network().rpc(serde=serde, returns=list[Point])
    assert rpc.swapped([Point(1, 2)]) == [Point(2, 1)]


@pytest.mark.parametrize("serde", [SerdeFormat.JSON, SerdeFormat.MSGPACK])
def test_pydantic_models_travel_by_type_hints(network, serde):
    import pydantic

    class Order(pydantic.BaseModel):
        item: str
        count: int = 1

    @callback
    def doubled(order):
        return order.model_copy(update={"count": 2 * order.count})

    doubled.func.__annotations__["order"] = Order
    assert network().rpc(serde=serde, returns=Order).doubled(Order(item="tea", count=3)) == Order(item="tea", count=6)


class Unknown:
    pass


class Known:
    def __init__(self, value=0):
        self.value = value

    def __eq__(self, other):
        return type(other) is Known and other.value == self.value

    __hash__ = None


def test_pickles_name_only_what_is_trusted(network):
    @callback
    def echo(value):
        return value

    conn = network()
    with pytest.raises(failures.RemoteCallError, match=r"test_payloads.Unknown.*not trusted") as raised:
        conn.rpc().echo(Unknown())
    assert type(raised.value).__name__ == "UnpicklingError"
    trust(Known)
    assert conn.rpc().echo([Known(3), (1, {2})]) == [Known(3), (1, {2})]


def test_trusting_nodes_read_whatever_pickles_say(network):
    @callback
    def kind(value):
        return type(value).__name__

    assert network(pickle="trusting").rpc().kind(Unknown()) == "Unknown"


def test_a_number_that_is_too_large_is_not_told_in_all_its_digits(network):
    @callback
    def power(exponent):
        return 2**exponent

    rpc = network().rpc(serde=SerdeFormat.MSGPACK)
    assert rpc.power(63) == 2**63
    with pytest.raises(failures.RemoteCallError, match="100001 bits") as raised:
        rpc.power(100_000)
    assert len(str(raised.value)) < 200
