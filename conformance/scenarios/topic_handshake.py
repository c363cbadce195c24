"""Handshakes in every form that 3.0.1 takes and refuses."""

from scene import SYN, frame, frame_step, hello, refused, scenario

ADD = '{"args": [1, 2], "kwargs": {}}'

ACCEPTED = (
    '{"members":[{"methods":null,"name":"cli"}],"meta":{"error":null,"type":"client"}}',
    ' { "meta" : { "type" : "client" , "error" : null } , "members" : [ { "name" : "c\\u006ci" , "methods" : null } ] } ',
    '{"meta":{"type":"client"},"members":[{"name":"cli","methods":null}]}',
    '{"meta":{"type":"client","error":"text"},"members":[{"name":"cli","methods":null}]}',
    '{"meta":{"type":"client","error":null},"members":[{"name":"cli","methods":[]}]}',
    '{"meta":{"type":"client","error":null},"members":[{"name":"cli","methods":[""]}]}',
    '{"meta":{"type":"worker/9","error":null},"members":[{"name":"cli","methods":null}]}',
    '{"meta":{"type":"","error":null},"members":[{"name":"cli","methods":null}]}',
)

REFUSED = {
    "unknown key": '{"meta":{"type":"client","error":null,"x":1},"members":[{"name":"cli","methods":null}]}',
    "no type": '{"meta":{"error":null},"members":[{"name":"cli","methods":null}]}',
    "no methods": '{"meta":{"type":"client","error":null},"members":[{"name":"cli"}]}',
    "key twice": '{"meta":{"type":"client","type":"client"},"members":[{"name":"cli","methods":null}]}',
    "wrong type": '{"meta":{"type":5,"error":null},"members":[{"name":"cli","methods":null}]}',
    "trailing bytes": '{"meta":{"type":"client","error":null},"members":[{"name":"cli","methods":null}]}x',
    "nothing": "",
}

# In the words of our servers.
WHY = {
    "unknown key": 'unknown key "x" in meta of the handshake',
    "no type": "not a valid handshake body: missing field `type` at line 1 column 22",
    "no methods": "not a valid handshake body: missing field `methods` at line 1 column 78",
    "key twice": "not a valid handshake body: duplicate field `type` at line 1 column 37",
    "wrong type": "not a valid handshake body: invalid type: integer `5`, expected a string at line 1 column 17",
    "trailing bytes": "not a valid handshake body: trailing characters at line 1 column 104",
    "nothing": "not a valid handshake body: EOF while parsing a value at line 1 column 0",
}


@scenario("5.1.accepted")
def handshake_forms(scene):
    """Every spelling of a handshake that a Service takes."""
    scene.service("add")
    for at, body in enumerate(ACCEPTED):
        peer = scene.hand(f"form {at}")
        peer.send(SYN, frame("HANDSHAKE", 1, [peer.name, "", ""], body.replace("cli", peer.name).replace("c\\u006ci", peer.name)))
        peer.until("HANDSHAKE")
        peer.close()


@scenario("5.1.copied")
def handshake_bits(scene):
    """Header bits and the two other names of a handshake are copied into the answer."""
    scene.service("add")
    for at, bits in enumerate(({"parts": 5}, {"parts": 0, "little": False}, {"format": "OPAQUE"}, {"reply": False})):
        peer = scene.hand(f"bits {at}")
        peer.send(SYN, frame("HANDSHAKE", 77, [peer.name, "", ""], hello(peer.name), **bits))
        peer.until("HANDSHAKE")
        peer.close()
    peer = scene.hand("names")
    peer.send(SYN, frame("HANDSHAKE", 1, ["names", "receiver", "function"], hello("names")))
    peer.until("HANDSHAKE")


@scenario("5.1.refused")
def refused_handshakes(scene):
    """Handshakes that a Service refuses."""
    scene.service("add")
    for why, body in REFUSED.items():
        peer = scene.hand(why)
        peer.send(SYN, frame("HANDSHAKE", 1, [peer.name, "", ""], body.replace("cli", peer.name)))
        peer.until("ERROR")
        scene.reacts("readable-refusal", refused(scene.hands.index(peer) + 1, 1, peer.name, WHY[why]))
        peer.close()


@scenario("5.1.refused")
def refused_then_accepted(scene):
    """After a refused handshake 3.0.1 takes another one on the same connection."""
    scene.service("add")
    peer = scene.hand("cli")
    peer.send(SYN, frame("HANDSHAKE", 1, ["cli", "", ""], REFUSED["unknown key"]))
    peer.until("ERROR")
    scene.reacts("readable-refusal", refused(1, 1, "cli", WHY["unknown key"]))
    with scene.theirs("readable-refusal"):
        peer.send(frame("HANDSHAKE", 2, ["cli", "", ""], hello("cli")))
        peer.until("HANDSHAKE")


@scenario("5.1.transmitter")
def handshake_of_another(scene):
    """A handshake whose members are not its transmitter: a Service takes the transmitter."""
    scene.service("add")
    peer = scene.hand("cli")
    peer.send(SYN, frame("HANDSHAKE", 1, ["cli", "", ""], hello("other")))
    peer.until("HANDSHAKE")
    peer.request(2, "svc", "add", ADD)
    peer.until("RESPONSE")


@scenario("5.4.second", "12.update")
def second_handshake(scene):
    """A second handshake on a connection: 3.0.1 evicts the connection by itself."""
    scene.service("add")
    peer = scene.hand("cli")
    peer.join()
    peer.send(frame("HANDSHAKE", 2, ["cli", "", ""], hello("cli", "f")))
    body = hello("svc", "add", type="service")
    scene.reacts("second-handshake-updates", frame_step(1, "<", "HANDSHAKE", 2, ["cli", "", ""], body))


@scenario("5.4.second")
def second_name(scene):
    """A second handshake under another name: 3.0.1 has two entries for one connection then."""
    scene.service("add")
    peer = scene.hand("cli")
    peer.join()
    peer.send(frame("HANDSHAKE", 2, ["second", "", ""], hello("second")))
    why = 'a second handshake under another name: "second"'
    scene.reacts("one-name-per-connection", refused(1, 2, "second", why))
