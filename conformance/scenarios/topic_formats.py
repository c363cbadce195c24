"""Each format: arguments, results, None, empty values."""

from scene import scenario


@scenario("2", "5.1", "5.2", "7-json")
def rpc_json(scene):
    """Calls in JSON to a Service: positional and keyword arguments, None, empty values, a nested value."""
    scene.service("add", "echo", "none", "kwargs_only")
    client = scene.client()
    client.rpc("add", 3, 4, serde="JSON")
    client.rpc("add", 3, kwargs={"b": 4}, serde="JSON")
    client.rpc("kwargs_only", 1, serde="JSON")
    client.rpc("none", serde="JSON")
    for value in (None, "", [], {}, 0, False, {"a": [1, 2.5, "naïve \N{SNOWMAN}", None, True]}):
        client.rpc("echo", value, serde="JSON")
