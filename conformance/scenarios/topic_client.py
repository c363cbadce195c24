"""What a client makes of a server that is written by hand."""

from scene import failed, frame, frame_step, hello, scenario

SUM = '{"args": [3], "kwargs": {}}'


def answer(server, uuid, payload=SUM, kind="RESPONSE", names=None, **options):
    server.connection.send(frame(kind, uuid, names or ["svc", "cli", "add"], payload, **options))


@scenario("5.1.error")
def refused_client(scene):
    """A server refuses a handshake with an error in its answer: the client fails with it."""
    server = scene.hand_server()
    server.accept('{"meta":{"type":"service","error":"not today"},"members":[]}')
    scene.client("cli", connected=False)


@scenario("5.1.accepted")
def reply_forms(scene):
    """A client takes the answer to its handshake in any spelling, with further members, and with an empty error."""
    server = scene.hand_server("router", "router")
    body = (
        ' { "members" : [ { "methods" : [ "\\u0061dd" ] , "name" : "w1" } , { "name" : "cli" , "methods" : [ ] } ] , '
        '"meta" : { "error" : "" , "type" : "any/thing" } } '
    )
    server.accept(body)
    client = scene.client("cli")
    call = client.begin("rpc", "add", 1, 2, serde="JSON")
    scene.settle()
    answer(server, 2, names=["w1", "cli", "add"])
    client.end(call)


@scenario("7.2")
def answers_by_number(scene):
    """An answer counts by its number: to whomever it is addressed, in whatever format, whatever its other bits."""
    server = scene.hand_server()
    server.accept(methods=["add"])
    client = scene.client("cli")
    for uuid, (payload, options) in enumerate(
        (
            (SUM, {"names": ["svc", "somebody", "nothing"]}),
            (b"\x92\x91\x03\x80", {"format": "MSGPACK"}),
            ("text", {"format": "OPAQUE"}),
            (SUM, {"reply": True, "parts": 9, "little": False}),
        ),
        2,
    ):
        call = client.begin("rpc", "add", 1, 2, serde="JSON")
        scene.settle()
        answer(server, uuid, payload, **options)
        client.end(call)


@scenario("10.22")
def answer_of_another(scene):
    """An answer in the name of a node that was not asked: 3.0.1 takes it."""
    server = scene.hand_server()
    server.accept(methods=["add"])
    client = scene.client("cli")
    call = client.begin("rpc", "add", 1, 2, serde="JSON")
    scene.settle()
    answer(server, 2, names=["other", "cli", "add"])
    with scene.theirs("answers-match-calls"):
        client.end(call)
    scene.ours(
        "answers-match-calls",
        frame_step(1, "<", "RESPONSE", 2, ["svc", "cli", "add"], '{"args": ["of its receiver"], "kwargs": {}}'),
        '"cli" gets 1',
        '    value "of its receiver"',
    )


@scenario("5.4.second", "10.13")
def late_on_client(scene):
    """A client registers a callback while it is connected: 3.0.1 sends a second handshake."""
    server = scene.hand_server("router", "router")
    server.accept(members=[{"name": "w1", "methods": ["add"]}])
    worker = scene.client("w1", "add")
    key = "late-by-new-connection"
    with scene.theirs(key):
        number = scene.does("w1", "late", "extra")
        request = worker.request("invoke", method="late", args=["extra"])
        scene.settle()
        members = [{"name": "w1", "methods": ["add", "extra"]}]
        kind, uuid, names, _ = server.connection.receive()
        reply = hello("", type="router", members=members)
        server.connection.send(frame("HANDSHAKE", uuid, names, reply))
        worker._answer(request)
        scene.gets("w1", number, {"value": None})
    scene.ours(
        key,
        '"w1" does 1 late "extra"',
        '"w1" gets 1',
        "    value null",
        '2 connects "w1"',
        "2 > SYN",
        frame_step(2, ">", "HANDSHAKE", uuid, names, hello("w1", "add", "extra", type="client/4")),
        frame_step(2, "<", "HANDSHAKE", uuid, names, reply),
        "1 > END",
    )


@scenario("7.3")
def errors_by_format(scene):
    """An ERROR in another format than the request's, and one with a traceback is none of the protocol."""
    server = scene.hand_server()
    server.accept(methods=["add"])
    client = scene.client("cli")
    pickled = (
        b"\x80\x04\x95\x29\x00\x00\x00\x00\x00\x00\x00\x28\x8c\x0aValueError\x94\x8c\x08builtins\x94\x8c\x03bad\x94Nt\x94\x85\x94}\x94\x86\x94."
    )
    for uuid, (payload, serde) in enumerate(
        (
            ('{"args": [["ValueError", "builtins", "bad", null]], "kwargs": {}}', "JSON"),
            (pickled, "PICKLE"),
        ),
        2,
    ):
        call = client.begin("rpc", "add", 1, 2, serde="MSGPACK")
        scene.settle()
        answer(server, uuid, payload, kind="ERROR", format=serde)
        client.end(call)


@scenario("7.2")
def unasked_answers(scene):
    """Answers to numbers that nobody waits for, and one twice: the calls after them get their own."""
    server = scene.hand_server()
    server.accept(methods=["add"])
    client = scene.client("cli")
    answer(server, 500, '{"args": ["stray"], "kwargs": {}}')
    call = client.begin("rpc", "add", 1, 2, serde="JSON")
    scene.settle()
    answer(server, 2)
    client.end(call)
    answer(server, 2, '{"args": ["again"], "kwargs": {}}')
    call = client.begin("rpc", "add", 1, 2, serde="JSON")
    scene.settle()
    answer(server, 3)
    client.end(call)


@scenario("5.3.client")
def member_lists(scene):
    """Notices add and update members, `disconnected` removes them, what cannot be read changes nothing."""
    server = scene.hand_server("router", "router")
    server.accept(members=[{"name": "cli", "methods": None}])
    client = scene.client("cli")

    def notice(*members):
        body = hello("", type="router", members=list(members))
        server.connection.send(frame("HANDSHAKE", 0, ["", "", ""], body, reply=False))

    def event(body):
        server.connection.send(frame("EVENTS", 0, ["", "", ""], body))

    def call(function, uuid, receiver):
        begun = client.begin("rpc", function, serde="JSON")
        scene.settle()
        answer(server, uuid, '{"args": [null], "kwargs": {}}', names=[receiver, "cli", function])
        client.end(begun)

    client.rpc("f", serde="JSON")
    notice({"name": "w1", "methods": ["f"]})
    event('{"type":"connected","member":"w1"}')
    call("f", 2, "w1")
    notice({"name": "w1", "methods": ["g"]}, {"name": "w2", "methods": ["f"]})
    call("f", 3, "w2")
    event('{"type":"unknown","member":"w2"}')
    event('{"type":"disconnected","member":"w2","more":1}')
    event("not json")
    call("f", 4, "w2")
    event('{"type":"disconnected","member":"w2"}')
    client.rpc("f", serde="JSON")
    notice({"name": "w1", "methods": None})
    client.rpc("g", serde="JSON")


@scenario("3.direction", "7.3", "4.function")
def requests_to_a_client(scene):
    """Requests to a client that exposes callbacks: with and without an answer, in each format, and one that fails."""
    server = scene.hand_server("router", "router")
    server.accept(members=[{"name": "w1", "methods": ["echo", "fail"]}])
    scene.client("w1", "echo", "fail")
    connection = server.connection

    def request(uuid, function, payload, **options):
        connection.send(frame("REQUEST", uuid, ["boss", "w1", function], payload, **options))

    request(5, "echo", '{"args": ["a"], "kwargs": {}}')
    request(6, "echo", b"\x92\x91\x03\x80", format="MSGPACK")
    request(7, "echo", "text", format="OPAQUE")
    request(8, "echo", b"\x00\xff", format="OPAQUE", is_bytes=True)
    request(9, "echo", '{"args": ["a"], "kwargs": {}}', reply=False)
    request(9, "fail", '{"args": ["bad"], "kwargs": {}}')
    request(65535, "echo", '{"args": [], "kwargs": {}}')
    request(11, "nothing", '{"args": [], "kwargs": {}}')
    why = 'w1 exposes no callback "nothing"'
    scene.reacts(
        "names-unknown-function",
        failed(1, 11, ["w1", "boss", "nothing"], ["TypeError", "builtins", why]).replace("<", ">", 1),
        by="client",
    )


@scenario("8.lost")
def lost_connection(scene):
    """A server ends the connection during a call."""
    server = scene.hand_server()
    server.accept(methods=["add"])
    client = scene.client("cli")
    call = client.begin("rpc", "add", 1, 2, serde="JSON")
    scene.settle()
    server.connection.close()
    client.end(call)


@scenario("8.gone", "5.3.client")
def receiver_gone(scene):
    """The receiver of an open call leaves."""
    server = scene.hand_server("router", "router")
    server.accept(members=[{"name": "cli", "methods": None}, {"name": "w1", "methods": ["f"]}])
    client = scene.client("cli")
    call = client.begin("rpc", "f", receiver="w1", serde="JSON")
    scene.settle()
    server.connection.send(frame("EVENTS", 0, ["", "", ""], '{"type":"disconnected","member":"w1"}'))
    client.end(call)


@scenario("7.2", "10.9")
def late_answer(scene):
    """The answer to a call that was given up comes late."""
    server = scene.hand_server()
    server.accept(methods=["add"])
    client = scene.client("cli")
    client.rpc("add", 1, 2, timeout=1, serde="JSON")
    call = client.begin("rpc", "add", 3, 4, serde="JSON")
    scene.settle()
    answer(server, 2)
    answer(server, 3, '{"args": [7], "kwargs": {}}')
    client.end(call)


@scenario("8.stop")
def client_stops(scene):
    """A client that stops ends its stream."""
    server = scene.hand_server()
    server.accept(methods=["add"])
    client = scene.client("cli")
    client.stop()
