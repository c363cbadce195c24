"""Several clients of a Service, and what peers may do wrong."""

import time

from scene import SYN, failed, frame, frame_step, hello, scenario

ADD = '{"args": [1, 2], "kwargs": {}}'
SUM = '{"args": [3], "kwargs": {}}'


@scenario("5.2.service")
def two_clients(scene):
    """A second client: the Service tells the first one too; nobody hears of it when one leaves."""
    scene.service("add")
    one = scene.client("one")
    two = scene.client("two")
    one.rpc("add", 1, 2, serde="JSON")
    two.rpc("add", 3, 4, serde="JSON")
    two.stop()
    one.rpc("add", 5, 6, serde="JSON")


@scenario("5.4.eviction")
def service_eviction(scene):
    """The same name twice: the older connection is told, and ended."""
    scene.service("add")
    old = scene.hand("twin")
    old.join()
    new = scene.hand("twin", declare=False)
    new.join()
    new.request(2, "svc", "add", ADD)
    new.receive()


@scenario("5.4.eviction", "10.14")
def evicted_client(scene):
    """A real client is evicted by a newer connection of its name."""
    scene.service("add")
    client = scene.client("twin")
    client.rpc("add", 1, 2, serde="JSON")
    newer = scene.hand("newer")
    newer.send(SYN, frame("HANDSHAKE", 1, ["twin", "", ""], hello("twin")))
    newer.receive()
    key = "eviction-is-final"
    scene.ask("next", node="twin")
    with scene.theirs(key):
        client.rpc("add", 3, 4, serde="JSON")
    scene.ours(
        key,
        '"twin" does 2 rpc "add"',
        "    args [3,4]",
        '    serde "JSON"',
        '"twin" gets 2',
        "    failed evicted",
    )


@scenario("5.2.service")
def late_on_service(scene):
    """A callback registered on a running Service: 3.0.1 tells nobody until the next client comes."""
    service = scene.service("add")
    client = scene.hand("cli")
    client.join()
    service.late("extra")
    notice = '{"meta":{"type":"service","error":null},"members":[{"name":"svc","methods":["add","extra"]}]}'
    scene.ours("late-callbacks-are-told", frame_step(1, "<", "HANDSHAKE", 0, ["", "", ""], notice, bits="text"))
    client.request(2, "svc", "extra", '{"args": [], "kwargs": {}}')
    client.receive()


@scenario("1.syn")
def syn_of_any_bytes(scene):
    """Any nine bytes that are no HTTP request open a connection."""
    scene.service("add")
    for at, syn in enumerate((b"\x1f" * 7 + b"\x04\x01", b"\0" * 9, b"\xff" * 9, b"ABCDEFGHI")):
        peer = scene.hand(f"cli{at}")
        peer.send(syn, frame("HANDSHAKE", 1, [peer.name, "", ""], hello(peer.name)))
        peer.request(2, "svc", "add", ADD)


@scenario("1.syn", "2.1.violations")
def syn_twice(scene):
    """The SYN twice: 3.0.1 is out of step and never answers."""
    scene.service("add")
    peer = scene.hand("cli")
    peer.send(SYN, SYN)
    scene.reacts("out-of-step-ends", "1 < END")


@scenario("4.bits")
def ignored_bits(scene):
    """A Service ignores msg_parts, the endian bit and the receiver; its answers have the usual values."""
    scene.service("add")
    peer = scene.hand("cli")
    peer.join()
    peer.request(2, "svc", "add", ADD, parts=5)
    peer.request(3, "svc", "add", ADD, parts=0, little=False)
    peer.request(4, "somebody else", "add", ADD)
    peer.request(65535, "", "add", ADD)
    peer.request(7, "svc", "add", ADD, reply=False)
    peer.request(8, "svc", "add", ADD)


@scenario("10.22")
def speaking_for_another(scene):
    """A request under another node's name: 3.0.1 answers that node."""
    scene.service("add")
    victim = scene.hand("victim")
    victim.join()
    peer = scene.hand("peer")
    peer.join()
    peer.send(frame("REQUEST", 2, ["victim", "svc", "add"], ADD))
    why = 'this connection is "peer" and cannot speak for "victim"'
    scene.reacts("speaks-for-itself", failed(2, 2, ["svc", "peer", "add"], ["PermissionError", "builtins", why]))


@scenario("4.handshake", "10.5")
def request_before_handshake(scene):
    """A request before any handshake: 3.0.1 says nothing, and its only executor is gone."""
    scene.service("add")
    peer = scene.hand("cli")
    peer.send(SYN, frame("REQUEST", 2, ["cli", "svc", "add"], ADD))
    scene.reacts("out-of-step-ends", "1 < END")


@scenario("10.5")
def caller_leaves(scene):
    """A caller leaves before its answer: 3.0.1 answers nobody any more."""
    scene.service("sleep", "add")
    peer = scene.hand("leaver")
    peer.join()
    other = scene.hand("other")
    other.join()
    peer.request(2, "svc", "sleep", '{"args": [1.0], "kwargs": {}}')
    peer.close()
    time.sleep(1.5)
    other.request(2, "svc", "add", ADD)
    scene.reacts("executor-survives", frame_step(2, "<", "RESPONSE", 2, ["svc", "other", "add"], SUM))


@scenario("8.order")
def one_worker(scene):
    """With one worker requests run in order of arrival, over all connections."""
    scene.service("sleep", "add")
    one, two = scene.hand("one"), scene.hand("two")
    one.join()
    two.join()
    one.request(2, "svc", "sleep", '{"args": [0.8], "kwargs": {}}')
    one.request(3, "svc", "add", ADD)
    two.request(2, "svc", "add", ADD)
    two.until("RESPONSE")


@scenario("8.order")
def two_workers(scene):
    """With two workers a quick call overtakes a slow one."""
    scene.service("sleep", "add", workers=2)
    peer = scene.hand("cli")
    peer.join()
    peer.request(2, "svc", "sleep", '{"args": [0.8], "kwargs": {}}')
    peer.request(3, "svc", "add", ADD)
    peer.receive()
    peer.receive()


@scenario("3.direction")
def response_to_service(scene):
    """A RESPONSE sent to a Service: 3.0.1 stops reading that connection without a word."""
    wrong_direction(scene, "RESPONSE")


@scenario("3.direction")
def event_to_service(scene):
    """EVENTS sent to a Service: 3.0.1 stops reading that connection without a word."""
    wrong_direction(scene, "EVENTS")


def wrong_direction(scene, kind):
    scene.service("add")
    peer = scene.hand("cli")
    peer.join()
    peer.send(frame(kind, 2, ["cli", "svc", "add"], SUM))
    scene.reacts("out-of-step-ends", "1 < END")
