"""A Router between clients and workers."""

from scene import SYN, failed, frame, frame_step, hello, refused, scenario

ADD = '{"args": [1, 2], "kwargs": {}}'
SUM = '{"args": [3], "kwargs": {}}'
FORMATS = ("PICKLE", "JSON", "MSGPACK", "OPAQUE")
MIB_16 = 16 * 1024 * 1024


@scenario("5.3.join", "5.3.leave")
def router_members(scene):
    """Nodes come and go: a worker, a caller without functions, a second worker; then they leave again."""
    scene.router()
    worker = scene.client("w1", "add", "echo")
    caller = scene.client("cli")
    second = scene.client("w2", "add")
    caller.rpc("echo", "hello", receiver="w1", serde="JSON")
    second.stop()
    caller.rpc("add", 1, 2, serde="JSON")
    worker.stop()
    caller.rpc("add", 1, 2, serde="JSON")


@scenario("3.direction", "4.router")
def routed_rpc(scene):
    """A routed call in each format, and its error."""
    scene.router()
    scene.client("w1", "echo", "fail")
    caller = scene.client("cli")
    for serde in FORMATS:
        caller.rpc("echo", "hello", serde=serde)
    for serde in ("PICKLE", "JSON", "MSGPACK"):
        caller.rpc("fail", "bad", serde=serde)
    for value in (None, "", [], {}, {"$bytes": ""}):
        caller.rpc("echo", value)


@scenario("6.receiver")
def round_robin(scene):
    """Two workers take turns; a given receiver does not take part in that."""
    scene.router()
    scene.client("w1", "add")
    scene.client("w2", "add")
    caller = scene.client("cli")
    for _ in range(3):
        caller.rpc("add", 1, 2, serde="JSON")
    caller.rpc("add", 1, 2, receiver="w1", serde="JSON")
    caller.rpc("add", 1, 2, serde="JSON")


@scenario("6.cast")
def routed_cast(scene):
    """A cast to all workers, to some, and with an error among the answers."""
    scene.router()
    scene.client("w1", "echo", "fail")
    scene.client("w2", "echo", "fail")
    caller = scene.client("cli")
    for serde in FORMATS:
        caller.call("cast", "echo", "hello", serde=serde)
    caller.call("cast", "echo", "hello", receiver=["w2"], serde="JSON")
    caller.call("cast", "echo", "hello", receiver=["w2", "w1"], serde="JSON")
    caller.call("cast", "fail", "bad", serde="JSON")


@scenario("6.cast", "6.rpc_nowait")
def routed_nowait(scene):
    """Calls and casts without answers, through a Router."""
    scene.router()
    scene.client("w1", "notify", "count")
    scene.client("w2", "notify", "count")
    caller = scene.client("cli")
    caller.call("rpc_nowait", "notify", "note", receiver="w1", serde="JSON")
    caller.call("cast_nowait", "notify", "note", serde="JSON")
    caller.call("cast", "count", serde="JSON")


@scenario("6.stream")
def routed_stream(scene):
    """Streams to one worker, with answers and without."""
    scene.router()
    scene.client("w1", "receive_chunk", "received")
    caller = scene.client("cli")
    caller.call("stream", "receive_chunk", {"$bytes": "0001"}, {"$bytes": "02"}, "text")
    caller.call("stream_nowait", "receive_chunk", {"$bytes": "0001"}, {"$bytes": "02"})
    caller.rpc("received", serde="JSON")


@scenario("6.stream", "10.24")
def stream_to_two(scene):
    """A stream to two workers: 3.0.1 sends each chunk to the next one."""
    scene.router()
    scene.client("w1", "receive_chunk")
    scene.client("w2", "receive_chunk")
    caller = scene.client("cli")
    key = "stream-keeps-receiver"
    with scene.theirs(key):
        caller.call("stream", "receive_chunk", "a", "b", serde="JSON")
    steps = []
    for uuid, chunk in ((2, "a"), (3, "b")):
        steps.append(frame_step(3, ">", "REQUEST", uuid, ["cli", "w1", "receive_chunk"], f'{{"args": ["{chunk}"], "kwargs": {{}}}}'))
        steps.append(frame_step(3, "<", "RESPONSE", uuid, ["w1", "cli", "receive_chunk"], '{"args": [null], "kwargs": {}}'))
    scene.ours(
        key,
        '"cli" does 1 stream "receive_chunk"',
        '    args ["a","b"]',
        '    serde "JSON"',
        *steps,
        '"cli" gets 1',
        "    value null",
    )


@scenario("5.3.join")
def both_ways(scene):
    """Two nodes that expose and call."""
    scene.router()
    one = scene.client("one", "add")
    two = scene.client("two", "echo")
    one.wait("two")
    one.rpc("echo", "from one", serde="JSON")
    two.rpc("add", 1, 2, serde="JSON")


@scenario("5.4.eviction")
def router_eviction(scene):
    """A worker's name is taken by a newer connection."""
    scene.router()
    caller = scene.hand("cli")
    caller.join()
    old = scene.hand("w1")
    old.join("add")
    new = scene.hand("w1", declare=False)
    new.join("echo")
    caller.request(2, "w1", "echo", ADD)
    kind, uuid, names, _ = new.until("REQUEST")
    new.send(frame("RESPONSE", uuid, ["w1", "cli", "echo"], SUM))


@scenario("5.4.eviction")
def router_eviction_without_functions(scene):
    """A caller's name is taken by a newer connection that exposes nothing: the others keep the old list."""
    scene.router()
    other = scene.hand("other")
    other.join("add")
    old = scene.hand("cli")
    old.join("f")
    new = scene.hand("cli", declare=False)
    new.join()


@scenario("5.4.second", "12.update")
def router_second_handshake(scene):
    """A second handshake through a Router: 3.0.1 evicts the connection by itself."""
    scene.router()
    other = scene.hand("other")
    other.join()
    worker = scene.hand("w1")
    worker.join("f")
    worker.send(frame("HANDSHAKE", 2, ["w1", "", ""], hello("w1", "f", "g")))
    worker.until("EVENTS")
    members = [{"name": "other", "methods": None}, {"name": "w1", "methods": ["f", "g"]}]
    scene.reacts(
        "second-handshake-updates",
        frame_step(1, "<", "HANDSHAKE", 0, ["", "", ""], hello("w1", "f", "g", type="router"), bits="text"),
        frame_step(2, "<", "HANDSHAKE", 2, ["w1", "", ""], hello("", type="router", members=members)),
    )


@scenario("10.6", "4.router")
def unroutable(scene):
    """Requests that a Router cannot deliver: 3.0.1 drops them without a word."""
    scene.router()
    worker = scene.hand("w1")
    worker.join("add")
    peer = scene.hand("cli")
    peer.join()
    for uuid, (receiver, function, why) in enumerate(
        (
            ("nobody", "add", '"nobody" is not a member of this router'),
            ("w1", "sub", 'w1 exposes no callback "sub"'),
            ("", "add", '"" is not a member of this router'),
            ("w1,cli", "add", '"w1,cli" is not a member of this router'),
        ),
        2,
    ):
        peer.request(uuid, receiver, function, ADD)
        error = failed(2, uuid, [receiver, "cli", function], ["ReceiverNotFound", "daffi", why])
        scene.reacts("unroutable-is-answered", error)
    peer.request(9, "nobody", "add", ADD, reply=False)
    peer.request(10, "w1", "add", ADD)
    worker.until("REQUEST")
    worker.send(frame("RESPONSE", 10, ["w1", "cli", "add"], SUM))
    peer.until("RESPONSE")


@scenario("4.router")
def forwarded_bits(scene):
    """A Router forwards requests and answers as they are: any msg_parts, endian bit, decoder."""
    scene.router()
    worker = scene.hand("w1")
    worker.join("add")
    peer = scene.hand("cli")
    peer.join()
    for uuid, bits in enumerate(({"parts": 0}, {"parts": 127}, {"little": False}, {"format": "OPAQUE"}, {"is_bytes": True}), 2):
        peer.request(uuid, "w1", "add", ADD, **bits)
        worker.until("REQUEST")
        worker.send(frame("RESPONSE", uuid, ["w1", "cli", "add"], SUM, **bits))
        peer.until("RESPONSE")


@scenario("4.router")
def to_itself(scene):
    """A node sends a request to itself by hand."""
    scene.router()
    worker = scene.hand("w1")
    worker.join("add")
    worker.request(2, "w1", "add", ADD)
    worker.until("REQUEST")
    worker.send(frame("RESPONSE", 2, ["w1", "w1", "add"], SUM))
    worker.until("RESPONSE")


@scenario("4.router", "10.22")
def unasked_answer(scene):
    """An answer that nobody asked for: 3.0.1 forwards it."""
    scene.router()
    worker = scene.hand("w1")
    worker.join("add")
    peer = scene.hand("cli")
    peer.join()
    worker.send(frame("RESPONSE", 7, ["w1", "cli", "add"], SUM))
    scene.reacts("answers-match-calls", "# nothing")


@scenario("10.22")
def router_speaking_for_another(scene):
    """A request under another node's name: 3.0.1 forwards it, and the answer goes to that node."""
    scene.router()
    worker = scene.hand("w1")
    worker.join("add")
    peer = scene.hand("peer")
    peer.join()
    peer.send(frame("REQUEST", 2, ["victim", "w1", "add"], ADD))
    why = 'this connection is "peer" and cannot speak for "victim"'
    scene.reacts("speaks-for-itself", failed(2, 2, ["w1", "peer", "add"], ["PermissionError", "builtins", why]))


@scenario("2.1.names")
def listed_names(scene):
    """A comma in a function's name: a Router lists two functions, without the blanks around them."""
    scene.router()
    peer = scene.hand("cli")
    peer.join()
    worker = scene.hand("w1")
    worker.join("a,b", " c ")
    why = "unusable name in the handshake: callback name \"a,b\" holds ',', which separates names on the wire"
    scene.reacts("names-stay-whole", refused(2, 1, "w1", why, "router"))


@scenario("5.1.accepted")
def router_handshake_forms(scene):
    """Handshakes of members without functions in every form; the types they give."""
    scene.router()
    watcher = scene.hand("watcher")
    watcher.join()
    for at, body in enumerate(
        (
            '{"members":[{"methods":[],"name":"NAME"}],"meta":{"error":null,"type":"client"}}',
            '{"meta":{"type":"worker/9","error":"text"},"members":[{"name":"NAME","methods":null}]}',
        )
    ):
        peer = scene.hand(f"form {at}")
        peer.send(SYN, frame("HANDSHAKE", 1, [peer.name, "", ""], body.replace("NAME", peer.name)))
        peer.until("HANDSHAKE")
        peer.close()


@scenario("5.1.accepted")
def empty_function_name(scene):
    """A handshake whose only function has an empty name: 3.0.1 gives notice of a member without functions."""
    scene.router()
    watcher = scene.hand("watcher")
    watcher.join()
    peer = scene.hand("cli")
    peer.join("")
    scene.reacts(
        "no-empty-notice",
        frame_step(1, "<", "EVENTS", 0, ["", "", ""], '{"type":"connected","member":"cli"}'),
        frame_step(
            2,
            "<",
            "HANDSHAKE",
            1,
            ["cli", "", ""],
            hello("", type="router", members=[{"name": "watcher", "methods": None}, {"name": "cli", "methods": None}]),
        ),
    )


@scenario("5.1.refused")
def router_refused_handshake(scene):
    """A handshake with an unknown key, sent to a Router."""
    scene.router()
    peer = scene.hand("cli")
    body = '{"meta":{"type":"client","error":null,"x":1},"members":[{"name":"cli","methods":null}]}'
    peer.send(SYN, frame("HANDSHAKE", 1, ["cli", "", ""], body))
    peer.until("ERROR")
    scene.reacts("readable-refusal", refused(1, 1, "cli", 'unknown key "x" in meta of the handshake', "router"))


@scenario("5.3.leave", "10.6")
def worker_leaves(scene):
    """A worker leaves while a call is open: 3.0.1's Router tells the caller of the worker only."""
    scene.router()
    worker = scene.hand("w1")
    worker.join("add")
    peer = scene.hand("cli")
    peer.join()
    peer.request(2, "w1", "add", ADD)
    worker.until("REQUEST")
    worker.close()
    error = ["ReceiverGone", "daffi", "w1 left before it answered"]
    event = frame_step(2, "<", "EVENTS", 0, ["", "", ""], '{"type":"disconnected","member":"w1"}')
    scene.reacts("unroutable-is-answered", failed(2, 2, ["w1", "cli", ""], error), event)


@scenario("2.frame")
def routed_sixteen_mib(scene):
    """16 MiB through a Router and back."""
    scene.router()
    scene.client("w1", "echo")
    caller = scene.client("cli")
    caller.rpc("echo", {"$repeat": ["78", MIB_16]}, serde="OPAQUE")


@scenario("2.1.names")
def routed_names(scene):
    """Names outside ASCII and with blanks, quotes and commas, through a Router."""
    scene.router("маршрутизатор")
    scene.client('работник, "1"', "echo")
    caller = scene.client("a b\N{SNOWMAN}" + "x" * 500)
    caller.rpc("echo", "hello", serde="JSON")


@scenario("8.order")
def answers_overtake(scene):
    """A worker that runs two at once answers a later call first; a Router passes the answers as they come."""
    scene.router()
    scene.client("w1", "sleep", "add", workers=2)
    peer = scene.hand("cli")
    peer.join()
    peer.request(2, "w1", "sleep", '{"args": [0.8], "kwargs": {}}')
    peer.request(3, "w1", "add", ADD)
    peer.until("RESPONSE")
    peer.until("RESPONSE")
