"""WebSocket clients, which 3.0.1's browser client is: one frame per binary message, no SYN."""

from scene import UPGRADE, frame, frame_step, hello, scenario

ADD = '{"args":[1,2],"kwargs":{}}'
SUM = '{"args":[3],"kwargs":{}}'


@scenario("9.upgrade", "9.message")
def web_service(scene):
    """A browser calls a Service in JSON and OPAQUE."""
    scene.service("add", "echo", "fail")
    peer = scene.web()
    peer.join()
    peer.request(2, "svc", "add", ADD)
    peer.receive()
    peer.request(3, "svc", "echo", b"\x00\xff", format="OPAQUE", is_bytes=True)
    peer.receive()
    peer.request(4, "svc", "echo", "naïve \N{SNOWMAN}".encode(), format="OPAQUE", is_bytes=True)
    peer.receive()
    peer.request(5, "svc", "fail", '{"args":["bad"],"kwargs":{}}')
    peer.receive()
    peer.request(6, "svc", "add", ADD, reply=False)
    peer.request(7, "svc", "add", ADD)
    peer.receive()


@scenario("9.upgrade")
def web_upgrade_forms(scene):
    """Upgrade requests in other letters, with a path, a protocol and extensions."""
    scene.service("add")
    for at, (line, headers) in enumerate(
        (
            ("GET /some/path?query=1 HTTP/1.1", UPGRADE),
            ("GET / HTTP/1.1", {key.lower(): value for key, value in UPGRADE.items()}),
            ("GET / HTTP/1.1", {**UPGRADE, "Upgrade": "WebSocket", "Connection": "keep-alive, Upgrade"}),
            ("GET / HTTP/1.1", {**UPGRADE, "Sec-WebSocket-Extensions": "permessage-deflate"}),
        )
    ):
        peer = scene.web(f"web {at}", line=line, headers=headers)
        peer.join()
        peer.close()


@scenario("9.message")
def web_text_opcode(scene):
    """A frame in a text message is taken like one in a binary message."""
    scene.service("add")
    peer = scene.web()
    peer.join()
    peer.send(frame("REQUEST", 2, ["web", "svc", "add"], ADD), opcode=1)
    peer.receive()


@scenario("9.close")
def web_close(scene):
    """A close is answered with a close; 3.0.1 leaves the TCP connection open then."""
    scene.service("add")
    peer = scene.web()
    peer.join()
    peer.send((1000).to_bytes(2, "big"), opcode=8)
    scene.ours("close-ends", "1 < END")


@scenario("9.size")
def web_large(scene):
    """A mebibyte in one message, there and back."""
    scene.service("echo")
    peer = scene.web()
    peer.join()
    peer.request(2, "svc", "echo", b"x" * (1024 * 1024), format="OPAQUE", is_bytes=True)
    peer.receive()


@scenario("9.router")
def web_router(scene):
    """A browser and a native worker behind a Router, and a browser that exposes a function."""
    scene.router()
    scene.client("w1", "echo")
    web = scene.web()
    web.join("f")
    web.request(2, "w1", "echo", '{"args":["hello"],"kwargs":{}}')
    web.until("RESPONSE")
    native = scene.hand("cli")
    native.join()
    native.request(2, "web", "f", ADD)
    web.until("REQUEST")
    web.send(frame("RESPONSE", 2, ["web", "cli", "f"], SUM))
    native.until("RESPONSE")
    web.close()


@scenario("9.router", "5.4.eviction")
def web_eviction(scene):
    """A browser's name is taken by a native client."""
    scene.service("add")
    web = scene.web("twin")
    web.join()
    native = scene.hand("twin", declare=False)
    native.join()
    scene.reacts(
        "eviction-closes",
        frame_step(1, "<", "EVENTS", 0, ["", "", ""], '{"type":"evicted","member":"twin"}', bits="text"),
        "1 < MESSAGE opcode 8",
        "    hex 03e8",
        "1 < END",
        frame_step(2, "<", "HANDSHAKE", 1, ["twin", "", ""], hello("svc", "add", type="service")),
    )
    native.request(2, "svc", "add", ADD)
    native.until("RESPONSE")
