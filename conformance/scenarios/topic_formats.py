"""Each format: arguments, results, None, empty values, names, sizes."""

from scene import scenario

VALUES = (None, "", [], {}, 0, False, -1, 2.5, {"a": [1, 2.5, "naïve \N{SNOWMAN}", None, True]})
MIB_16 = 16 * 1024 * 1024


@scenario("2.frame", "2.uuid", "5.1.form", "5.2.service", "7.json", "12.offer", "12.answer")
def rpc_json(scene):
    """Calls in JSON to a Service: positional and keyword arguments, None, empty values, a nested value."""
    scene.service("add", "echo", "none", "kwargs_only")
    client = scene.client()
    client.rpc("add", 3, 4, serde="JSON")
    client.rpc("add", 3, kwargs={"b": 4}, serde="JSON")
    client.rpc("kwargs_only", 1, serde="JSON")
    client.rpc("none", serde="JSON")
    for value in VALUES:
        client.rpc("echo", value, serde="JSON")


@scenario("2.frame", "7.pickle")
def rpc_pickle(scene):
    """Calls in the default format, PICKLE: positional and keyword arguments, None, empty values, a nested value."""
    scene.service("add", "echo", "none", "kwargs_only")
    client = scene.client()
    client.rpc("add", 3, 4)
    client.rpc("add", 3, kwargs={"b": 4}, serde="PICKLE")
    client.rpc("kwargs_only", 1)
    client.rpc("none")
    for value in (*VALUES, {"$bytes": ""}, {"$bytes": "00ff"}, {"$tuple": []}):
        client.rpc("echo", value)


@scenario("2.frame", "7.msgpack")
def rpc_msgpack(scene):
    """Calls in MSGPACK: positional and keyword arguments, None, empty values, bytes, a nested value."""
    scene.service("add", "echo", "none", "kwargs_only")
    client = scene.client()
    client.rpc("add", 3, 4, serde="MSGPACK")
    client.rpc("add", 3, kwargs={"b": 4}, serde="MSGPACK")
    client.rpc("kwargs_only", 1, serde="MSGPACK")
    client.rpc("none", serde="MSGPACK")
    for value in (*VALUES, {"$bytes": ""}, {"$bytes": "00ff"}):
        client.rpc("echo", value, serde="MSGPACK")


@scenario("2.frame", "7.opaque")
def rpc_opaque(scene):
    """Calls in OPAQUE: bytes and text keep their kind, other values travel as their Python text."""
    scene.service("echo", "total")
    client = scene.client()
    for value in ({"$bytes": "00ff10"}, {"$bytes": ""}, "text", "", "naïve \N{SNOWMAN}", None, True, 42, 2.5):
        client.rpc("echo", value, serde="OPAQUE")
    client.rpc("total", {"$bytes": "010203"}, serde="OPAQUE")
    client.rpc("echo", serde="OPAQUE")


@scenario("7.pickle")
def pickle_kinds(scene):
    """What only PICKLE tells apart: tuples, sets, large integers, dates, decimals, complex numbers, keys of any kind."""
    scene.service("echo")
    client = scene.client()
    for value in (
        {"$tuple": [1, "two", None]},
        {"$set": [7]},
        {"$frozenset": ["a"]},
        {"$int": "1606938044258990275541962092341162602522202993782792835301377"},
        {"$int": "-18446744073709551617"},
        18446744073709551615,
        {"$float": "inf"},
        {"$float": "nan"},
        {"$dict": [[1, "one"], [{"$tuple": [1, 2]}, "pair"]]},
        {"$date": "2024-02-29"},
        {"$datetime": "2024-02-29T12:30:15.250000"},
        {"$time": "23:59:58.123456"},
        {"$timedelta": [-1, 3, 7]},
        {"$decimal": "1234567890.0987654321"},
        {"$uuid": "12345678-1234-5678-1234-567812345678"},
        {"$complex": [1.5, -2.0]},
    ):
        client.rpc("echo", value)


@scenario("7.json", "7.msgpack")
def numbers(scene):
    """Integers at the edges of 64 bits and floats, in JSON and MSGPACK."""
    scene.service("echo")
    client = scene.client()
    for value in (127, 128, 255, 256, 65535, 65536, 2**31, 2**32, 2**63 - 1, 2**64 - 1, -1, -32, -33, -128, -129, -(2**63), 0.1):
        client.rpc("echo", value, serde="JSON")
        client.rpc("echo", value, serde="MSGPACK")


@scenario("7.pickle")
def pickle_protocols(scene):
    """A Service reads every pickle protocol, and a pair of lists for the arguments."""
    import pickle

    scene.service("add")
    peer = scene.hand("cli")
    peer.join()
    for protocol in range(6):
        peer.request(2 + protocol, "svc", "add", pickle.dumps(((3, 4), {}), protocol), format="PICKLE")
        peer.receive()
    peer.request(8, "svc", "add", pickle.dumps([[3], {"b": 4}]), format="PICKLE")
    peer.receive()


@scenario("7.json")
def json_forms(scene):
    """A Service reads JSON in any spelling: keys in another order, further keys, blanks, is_bytes set."""
    scene.service("echo")
    peer = scene.hand("cli")
    peer.join()
    for uuid, payload in enumerate(
        ('{"kwargs":{},"args":["a"]}', '{ "args" : [ "\\u0061" ] , "kwargs" : { } }', '{"args":["a"],"kwargs":{},"more":1}'), 2
    ):
        peer.request(uuid, "svc", "echo", payload)
        peer.receive()
    peer.request(9, "svc", "echo", '{"args":["a"],"kwargs":{}}', is_bytes=True)
    peer.receive()


@scenario("2.1.names", "2.frame")
def unicode_names(scene):
    """Names of nodes and callbacks outside ASCII, with blanks, quotes and a line feed."""
    service = scene.service(name="сервис \N{SNOWMAN}")
    service.late("größe")
    client = scene.client('a, "b"\n\N{PILE OF POO}')
    client.rpc("größe", serde="JSON")
    client.rpc("größe", serde="PICKLE")


@scenario("2.frame", "2.1.names")
def long_names(scene):
    """Long names of nodes and callbacks."""
    service = scene.service(name="s" * 1000)
    service.late("f" * 2000)
    client = scene.client("c" * 3000)
    client.rpc("f" * 2000, serde="MSGPACK")


@scenario("2.frame")
def sixteen_mib(scene):
    """16 MiB there in OPAQUE, and 16 MiB back in PICKLE."""
    scene.service("total", "big")
    client = scene.client()
    client.rpc("total", {"$repeat": ["78", MIB_16]}, serde="OPAQUE")
    client.rpc("big", MIB_16)


@scenario("2.frame")
def sixteen_mib_echo(scene):
    """16 MiB there and back, in MSGPACK."""
    scene.service("echo")
    client = scene.client()
    client.rpc("echo", {"$repeat": ["00", MIB_16]}, serde="MSGPACK")


@scenario("2.1.size", free=("uuid",))
def too_large(scene):
    """A call that exceeds a frame is not sent, and the next one is."""
    scene.service("total")
    client = scene.client()
    client.rpc("total", {"$repeat": ["00", 32 * 1024 * 1024]}, serde="OPAQUE")
    client.rpc("total", {"$bytes": "00"}, serde="OPAQUE")
