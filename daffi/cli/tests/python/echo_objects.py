"""Sends objects that only Python can read to `echo` of the node at HOST PORT, and compares what comes back."""

import pickle
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import PurePosixPath

from daffi import Client


@dataclass
class Point:
    x: int
    y: float
    tags: set = field(default_factory=set)


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(self) is type(other) and self.value == other.value


def objects():
    point = Point(1, 2.5, {"a"})
    yield point
    yield [point, point]  # one object twice
    yield {"nested": (Slotted(point), {Fraction(1, 3): PurePosixPath("/a/b")})}
    yield ValueError("an exception as a value")
    yield Point  # the class itself
    yield datetime(2024, 2, 29, tzinfo=timezone.utc)
    yield Slotted(b"x" * 1_000_000)


host, port = sys.argv[1:]
client = Client(app_name="echo-objects", host=host, port=int(port)).connect()
count = 0
for sent in objects():
    came = client.rpc(timeout=20).echo(sent)
    # Exceptions are equal only to themselves, so their pickles are compared: with that of a copy, which shares as much.
    copy = pickle.loads(pickle.dumps(((sent,), {})))[0][0]
    assert pickle.dumps(came) == pickle.dumps(copy), (sent, came)
    count += 1
print(count)
