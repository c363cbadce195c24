"""Each call style, to a Service."""

from scene import frame_step, scenario


@scenario("6.rpc_nowait")
def nowait(scene):
    """Calls without an answer, in each format; a call that counts them."""
    scene.service("notify", "count", "echo")
    client = scene.client()
    for serde in ("PICKLE", "JSON", "MSGPACK", "OPAQUE"):
        client.call("rpc_nowait", "notify", "note", serde=serde)
    client.rpc("count", serde="JSON")


@scenario("6.cast")
def cast(scene):
    """A cast to a Service, in each format: its one member answers."""
    scene.service("echo", "fail")
    client = scene.client()
    for serde in ("PICKLE", "JSON", "MSGPACK", "OPAQUE"):
        client.call("cast", "echo", "hello", serde=serde)
    client.call("cast", "fail", "bad", serde="JSON")


@scenario("6.cast")
def cast_nowait(scene):
    """A cast without answers."""
    scene.service("notify", "count")
    client = scene.client()
    client.call("cast_nowait", "notify", "note")
    client.call("cast_nowait", "notify", "note", serde="JSON")
    client.rpc("count", serde="JSON")


@scenario("6.stream")
def stream(scene):
    """A stream to a Service: OPAQUE by itself, each chunk sent after the answer to the one before."""
    scene.service("receive_chunk", "received")
    client = scene.client()
    client.call("stream", "receive_chunk", {"$bytes": "0001"}, {"$bytes": "02"}, "text")
    client.rpc("received", serde="JSON")
    client.call("stream", "receive_chunk", "a", "b", serde="MSGPACK")
    client.rpc("received", serde="JSON")


@scenario("6.stream")
def stream_nowait(scene):
    """A stream without answers."""
    scene.service("receive_chunk", "received")
    client = scene.client()
    client.call("stream_nowait", "receive_chunk", {"$bytes": "0001"}, {"$bytes": "02"}, {"$bytes": "03"})
    client.rpc("received", serde="JSON")


@scenario("6.stream", "7.3")
def stream_error(scene):
    """An error ends a stream."""
    scene.service("fail", "add")
    client = scene.client()
    client.call("stream", "fail", "bad", "never sent", serde="JSON")
    client.rpc("add", 1, 2, serde="JSON")


@scenario("6.receiver")
def receiver(scene):
    """Calls with a given receiver; one that is no member is refused where the call is made."""
    scene.service("add")
    client = scene.client()
    client.rpc("add", 1, 2, receiver="svc", serde="JSON")
    client.rpc("add", 1, 2, receiver="nobody", serde="JSON")
    client.rpc("no_such_callback", serde="JSON")
    client.call("cast", "add", 1, 2, receiver=["svc"], serde="JSON")


@scenario("6.rpc_nowait", "10.24")
def nowait_of_a_list(scene):
    """A list as the first argument of a call without an answer: 3.0.1 makes a call of each element."""
    scene.service("notify")
    client = scene.client()
    key = "nowait-is-one-call"
    with scene.theirs(key):
        number = client.begin("rpc_nowait", "notify", [["a"], ["b"]], serde="JSON")
        client.end(number)
    scene.ours(
        key,
        '"cli" does 1 rpc_nowait "notify"',
        '    args [[["a"],["b"]]]',
        '    serde "JSON"',
        frame_step(1, ">", "REQUEST", 2, ["cli", "svc", "notify"], '{"args": [[["a"], ["b"]]], "kwargs": {}}', bits="text"),
        '"cli" gets 1',
        "    value null",
    )


@scenario("8.timeout", "7.2")
def timeout(scene):
    """A call that runs into its timeout; the late answer disturbs nobody."""
    scene.service("sleep", "add")
    client = scene.client()
    client.rpc("sleep", 3, timeout=1, serde="JSON")
    client.rpc("add", 1, 2, serde="JSON")
