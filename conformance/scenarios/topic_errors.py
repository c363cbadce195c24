"""Errors of callbacks, and requests that cannot be run."""

from scene import failed, frame, frame_step, scenario


@scenario("7.3")
def errors(scene):
    """The error of a callback in each format."""
    scene.service("fail")
    client = scene.client()
    for serde in ("JSON", "MSGPACK", "PICKLE"):
        client.rpc("fail", "bad", serde=serde)
    client.rpc("fail", "", serde="JSON")
    client.rpc("fail", "naïve \N{SNOWMAN}", serde="MSGPACK")


@scenario("7.3")
def opaque_error(scene):
    """The error of a call in OPAQUE, which 3.0.1 pickles."""
    scene.service("fail", "add")
    peer = scene.hand("cli")
    peer.join()
    peer.send(frame("REQUEST", 2, ["cli", "svc", "fail"], "bad", format="OPAQUE"))
    scene.reacts("opaque-errors-in-json", failed(1, 2, ["svc", "cli", "fail"], ["ValueError", "builtins", "bad"]))


@scenario("7.3")
def errors_of_classes(scene):
    """Exceptions of other classes, one that ends processes among them."""
    scene.service("fail_as")
    client = scene.client()
    for name in ("SystemExit", "RuntimeError", "StopIteration", "KeyboardInterrupt"):
        client.rpc("fail_as", name, "bad", serde="JSON")


@scenario("7.3")
def custom_error(scene):
    """A class of errors that the caller does not know."""
    scene.service("fail_custom")
    client = scene.client()
    for serde in ("JSON", "MSGPACK", "PICKLE"):
        client.rpc("fail_custom", serde=serde)


@scenario("7.3")
def wrong_arguments(scene):
    """Arguments that do not fit: missing, too many, unknown, doubled."""
    scene.service("add", "none", "greet")
    client = scene.client()
    client.rpc("add", 1, serde="JSON")
    client.rpc("add", serde="JSON")
    client.rpc("add", 1, 2, 3, serde="JSON")
    client.rpc("add", 1, kwargs={"c": 2}, serde="JSON")
    client.rpc("add", 1, kwargs={"a": 2}, serde="JSON")
    client.rpc("none", 1, serde="MSGPACK")
    client.rpc("greet", serde="PICKLE")


@scenario("4.function")
def unknown_function(scene):
    """A request for a function that the Service does not have."""
    scene.service("add")
    peer = scene.hand("cli")
    peer.join()
    why = 'svc exposes no callback "nothing"'
    peer.request(2, "svc", "nothing", '{"args": [], "kwargs": {}}')
    peer.receive()
    scene.reacts("names-unknown-function", failed(1, 2, ["svc", "cli", "nothing"], ["TypeError", "builtins", why]))


@scenario("7.reply", "10.5")
def bad_payloads(scene):
    """A payload that cannot be read: 3.0.1 says nothing, and with one worker never runs anything again."""
    scene.service("add")
    peer = scene.hand("cli")
    peer.join()
    key = "answers-unreadable-payload"
    peer.request(2, "svc", "add", '{"args": [1, 2]}')
    why = "add() arguments: cannot read JSON: missing field `kwargs` at line 1 column 16"
    scene.reacts(key, failed(1, 2, ["svc", "cli", "add"], ["TypeError", "builtins", why]))
    peer.request(3, "svc", "add", '{"args": [1, 2], "kwargs": {}}')
    scene.reacts(key, frame_step(1, "<", "RESPONSE", 3, ["svc", "cli", "add"], '{"args": [3], "kwargs": {}}'))
