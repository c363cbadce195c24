"""What scenarios are made of: real nodes of daffi 3.0.1, peers written by hand, and the recorder between them.

A scenario is a function with the decorator `scenario`. It runs while the recorder stands between the server and everybody
who connects. Every request to the recorder is answered when all is quiet, so that one thing happens after the other.
"""

import inspect
import json
import platform
import socket
import struct
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path

REAL_NODE = Path(__file__).resolve().parent / "real_node.py"

SYN = b"\x1f" * 9
KINDS = ["HANDSHAKE", "REQUEST", "RESPONSE", "ERROR", "EVENTS"]
FORMATS = ["OPAQUE", "JSON", "PICKLE", "MSGPACK"]


def scenario(*holds, free=()):
    """Marks a scenario. Its docstring says what it shows; `holds` names rules of rules.txt."""

    def mark(function):
        function.scenario, function.holds, function.free = True, holds, free
        return function

    return mark


class Scene:
    def __init__(self, run):
        self._asking = threading.Lock()
        self._numbers = iter(range(1, 1 << 20))
        self._processes = []
        self.hands = []  # kept open until the end
        self.port = None
        self.ask(
            "about",
            about=" ".join(inspect.getdoc(run).split()),
            holds=list(run.holds),
            free=list(run.free),
            **{"with": f"daffi {version('daffi')}, CPython {platform.python_version()}"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
            process.wait()

    def ask(self, op, **fields):
        """Asks the recorder. It answers when nothing is under way any more."""
        with self._asking:
            print(json.dumps({"op": op, **fields}), flush=True)
            return json.loads(sys.stdin.readline())

    def settle(self):
        self.ask("settle")

    # Nodes

    def service(self, *exposes, name="svc", workers=1):
        return self._server("service", name, workers, exposes or ("none",))

    def router(self, name="router"):
        return self._server("router", name, 1, ())

    def _server(self, kind, name, workers, exposes):
        self.ask("node", name=name, kind=kind, real=True, workers=workers, exposes=exposes)
        options = [kind, "--name", name, "--workers", str(workers)]
        node = Node(self, name, options + (["--expose", ",".join(exposes)] if exposes else []))
        ready = node.ready()
        self.port = self.ask("proxy", target=ready["port"])["port"]
        return node

    def client(self, name="cli", *exposes, workers=1, connected=True):
        """A real client. With connected=False it is asked for as an action, since it will not succeed."""
        self.ask("node", name=name, kind="client", real=True, workers=workers, exposes=exposes)
        self.ask("next", node=name)
        options = ["client", "--name", name, "--port", str(self.port), "--workers", str(workers)]
        node = Node(self, name, options + (["--expose", ",".join(exposes)] if exposes else []))
        if connected:
            node.ready()
            self.settle()
            return node
        number = self.does(name, "connect", "")
        ready = node.first()
        self.gets(name, number, {"value": None} if ready["ready"] else {"failed": "refused"})
        return node

    def hand(self, name="hand", declare=True):
        """A client written by hand."""
        if declare:
            self.ask("node", name=name, kind="client", real=False, workers=1, exposes=[])
        self.ask("next", node=name)
        return Hand(self, name, socket.create_connection(("127.0.0.1", self.port)))

    def web(self, name="web", declare=True, **options):
        """A WebSocket client written by hand, as the browser client of 3.0.1 speaks."""
        if declare:
            self.ask("node", name=name, kind="client", real=False, workers=1, exposes=[])
        self.ask("next", node=name)
        return Web(self, name, socket.create_connection(("127.0.0.1", self.port)), **options)

    def hand_server(self, kind="service", name="svc"):
        """A server written by hand; accept() gives its connections."""
        self.ask("node", name=name, kind=kind, real=False, workers=1, exposes=[])
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.ask("proxy", target=listener.getsockname()[1])["port"]
        return HandServer(self, name, kind, listener)

    # What the program around a node asks of it

    def does(self, node, verb, method, args=(), kwargs=None, options=None):
        number = next(self._numbers)
        self.ask(
            "does", node=node, number=number, verb=verb, method=method, args=args, kwargs=kwargs or {}, options=options or {}
        )
        return number

    def gets(self, node, number, outcome):
        self.ask("gets", node=node, number=number, **outcome)

    # Where nodes of this project differ on purpose

    def theirs(self, key):
        """`with scene.theirs(key):` what is recorded inside only 3.0.1 does."""
        return Theirs(self, key)

    def ours(self, key, *steps):
        """Steps in the notation of the files, which our nodes do instead."""
        self.ask("ours", key=key, steps="\n".join(steps) + "\n")


    def reacts(self, key, *steps, by="server"):
        """What the server (or client) did on the last thing it was sent only 3.0.1 does; our nodes do these steps."""
        self.ask("reacts", key=key, by=by, steps="\n".join(steps) + "\n")


class Theirs:
    def __init__(self, scene, key):
        self._scene, self._key = scene, key

    def __enter__(self):
        self._scene.ask("theirs", key=self._key)

    def __exit__(self, *_):
        self._scene.ask("theirs", key=None)


class Node:
    """A real node in a process of its own, asked as peer.py's README says."""

    def __init__(self, scene, name, options):
        self.name = name
        self._scene = scene
        self._ids = iter(range(1, 1 << 20))
        self._answers, self._changed = {}, threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, str(REAL_NODE), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        scene._processes.append(self.process)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            with self._changed:
                self._answers[answer.get("id", 0)] = answer
                self._changed.notify_all()
        with self._changed:
            self._answers[None] = None
            self._changed.notify_all()

    def first(self):
        return self._answer(0)

    def ready(self):
        ready = self.first()
        if not ready["ready"]:
            raise RuntimeError(f"{self.name}: {ready}")
        return ready

    def _answer(self, number):
        with self._changed:
            if not self._changed.wait_for(lambda: number in self._answers or None in self._answers, 60):
                raise TimeoutError(f"{self.name} does not answer")
            if number not in self._answers:
                raise RuntimeError(f"{self.name} ended: {self.process.poll()}")
            return self._answers.pop(number)

    def request(self, op, **fields):
        number = next(self._ids)
        self.process.stdin.write(json.dumps({"id": number, "op": op, **fields}) + "\n")
        self.process.stdin.flush()
        return number

    def do(self, op, **fields):
        """An operation that nothing is written down of."""
        answer = self._answer(self.request(op, **fields))
        if "error" in answer:
            raise RuntimeError(f"{op} {fields}: {answer['error']}")
        return answer["ok"]

    def begin(self, verb, method, *args, kwargs=None, **options):
        """Begins a call; end() waits for its outcome."""
        number = self._scene.does(self.name, verb, method, args, kwargs, options)
        what = {"chunks" if verb.startswith("stream") else "args": args}
        return number, self.request("call", style=verb, method=method, kwargs=kwargs or {}, **what, **options)

    def end(self, begun):
        number, request = begun
        outcome = outcome_of(self._answer(request))
        self._scene.gets(self.name, number, outcome)
        return outcome

    def call(self, verb, method, *args, kwargs=None, **options):
        return self.end(self.begin(verb, method, *args, kwargs=kwargs, **options))

    def rpc(self, method, *args, kwargs=None, **options):
        return self.call("rpc", method, *args, kwargs=kwargs, **options)

    def late(self, method):
        """Registers one more callback while the node runs."""
        number = self._scene.does(self.name, "late", method)
        answer = self._answer(self.request("invoke", method="late", args=[method]))
        self._scene.settle()
        self._scene.gets(self.name, number, {"value": None} if "ok" in answer else {"failed": "late"})

    def wait(self, member):
        number = self._scene.does(self.name, "wait", member)
        self.do("wait_for_members", members=[member])
        self._scene.gets(self.name, number, {"value": None})

    def stop(self):
        number = self._scene.does(self.name, "stop", "")
        self._answer(self.request("stop"))
        self._scene.settle()
        self._scene.gets(self.name, number, {"value": None})

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._scene.settle()


def outcome_of(answer):
    if "error" not in answer:
        return {"value": plain(answer["ok"])}
    error = answer["error"]
    if "RemoteCallError" in error["bases"]:
        return {"error": [error["class"], error["message"]]}
    return {"failed": failure(error)}


def failure(error):
    """3.0.1's own errors in the words of recordings."""
    text, kind = error["message"], error["class"]
    if kind == "CallTimeout":
        return "timeout"
    if "No receivers found" in text or "ReceiverNotFound" in text:
        return "no receiver"
    if "ExceedsMaxMessageSize" in text:
        return "does not fit"
    if "unexpectedly disconnected" in text:
        return "receiver gone"
    if kind == "Disconnected":
        return "disconnected"
    if kind == "RemoteCallError" and ("ConnectionLost" in text or "ClientNotInitialized" in text):
        return "disconnected"
    return f"{kind} {text.splitlines()[0] if text else ''}".strip()


def plain(form):
    """Errors among the results of a cast, without what only this machine has."""
    if isinstance(form, dict):
        if set(form) == {"$error"}:
            error = form["$error"]
            return {"$error": [error["class"], error["message"]]}
        return {key: plain(value) for key, value in form.items()}
    return [plain(value) for value in form] if isinstance(form, list) else form


def frame(kind, uuid, names, payload, format="JSON", reply=None, is_bytes=None, parts=1, little=True, lengths=None):
    """The bytes of a frame (docs/protocol.md#2)."""
    kind = KINDS.index(kind) if isinstance(kind, str) else kind
    decoder = FORMATS.index(format)
    payload = payload.encode() if isinstance(payload, str) else payload
    metadata = "|".join(names).encode()
    is_bytes = format in ("PICKLE", "MSGPACK") if is_bytes is None else is_bytes
    reply = kind in (0, 1) if reply is None else reply
    message, names_size = lengths or (len(metadata) + len(payload), len(metadata))
    flags = kind | decoder << 4 | is_bytes << 6 | reply << 7
    sizes = (message | names_size << 25).to_bytes(5, "little")
    return struct.pack("<HB", uuid, flags) + sizes + bytes([parts | little << 7]) + metadata + payload


def hello(name, *methods, type="client", members=None):
    """The body of a handshake."""
    member = {"name": name, "methods": list(methods) or None}
    members = [member] if members is None else members
    return json.dumps({"meta": {"type": type, "error": None}, "members": members}, separators=(",", ":"), ensure_ascii=False)


class Hand:
    """A connection whose one end is spoken by hand."""

    def __init__(self, scene, name, connection):
        self.name = name
        self._scene, self._socket = scene, connection
        scene.hands.append(self)
        self._socket.settimeout(30)
        self._received = b""

    def send(self, *pieces):
        self._socket.sendall(b"".join(pieces))
        self._scene.settle()

    def join(self, *methods, **options):
        """SYN, HANDSHAKE and its answer."""
        self.send(SYN, frame("HANDSHAKE", 1, [self.name, "", ""], hello(self.name, *methods), **options))
        return self.receive()

    def request(self, uuid, receiver, function, payload, **options):
        self.send(frame("REQUEST", uuid, [self.name, receiver, function], payload, **options))

    def _exactly(self, size):
        while len(self._received) < size:
            more = self._socket.recv(1 << 20)
            if not more:
                raise EOFError(f"{self.name}: the stream ended")
            self._received += more
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def receive(self):
        """The next frame: kind, uuid, names, payload."""
        header = self._exactly(9)
        uuid, flags = struct.unpack("<HB", header[:3])
        lengths = int.from_bytes(header[3:8], "little")
        message, metadata = lengths & 0x1FFFFFF, lengths >> 25
        body = self._exactly(message)
        return KINDS[flags & 15], uuid, body[:metadata].decode().split("|"), body[metadata:]

    def until(self, kind):
        """The next frame of this kind."""
        while True:
            received = self.receive()
            if received[0] == kind:
                return received

    def at_end(self):
        """Waits for the end of the stream."""
        while self._socket.recv(1 << 16):
            pass

    def close(self):
        self._socket.close()
        self._scene.settle()


UPGRADE = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


class Web(Hand):
    """The same behind an upgrade to WebSocket: each piece that is sent is one binary message."""

    def __init__(self, scene, name, connection, line="GET / HTTP/1.1", headers=None):
        super().__init__(scene, name, connection)
        fields = "".join(f"{key}: {value}\r\n" for key, value in (headers or UPGRADE).items())
        self._socket.sendall(f"{line}\r\n{fields}\r\n".encode())
        scene.settle()
        while not self._received.endswith(b"\r\n\r\n"):
            self._received += self._socket.recv(1)
        self.answer, self._received = self._received.decode(), b""
        self._messages = b""

    def send(self, *pieces, opcode=2):
        for piece in pieces:
            self.message(opcode, piece)
        self._scene.settle()

    def message(self, opcode, payload):
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
        # A mask of zeros: the bytes of the same message are the same in every recording.
        self._socket.sendall(bytes([0x80 | opcode, length[0] | 0x80]) + length[1:] + bytes(4) + payload)

    def join(self, *methods, **options):
        self.send(frame("HANDSHAKE", 1, [self.name, "", ""], hello(self.name, *methods), **options))
        return self.receive()

    def _exactly(self, size):
        # Messages are taken apart: what is in them is a stream of frames like any other.
        while len(self._received) < size:
            head = self._take(2)
            length = head[1] & 0x7F
            if length > 125:
                length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
            self._received += self._take(length)
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _take(self, size):
        while len(self._messages) < size:
            more = self._socket.recv(1 << 20)
            if not more:
                raise EOFError(f"{self.name}: the stream ended")
            self._messages += more
        taken, self._messages = self._messages[:size], self._messages[size:]
        return taken


class HandServer:
    def __init__(self, scene, name, kind, listener):
        self._scene, self.name, self.kind, self._listener = scene, name, kind, listener
        self.connection = None

    def accept(self, answer=None, methods=(), members=None, type=None):
        """In a thread: takes the next connection and answers its handshake, with `answer` if there is one."""
        done = threading.Event()

        def serve():
            connection, _ = self._listener.accept()
            self.connection = Hand(self._scene, self.name, connection)
            self.connection._exactly(9)
            _, uuid, names, _ = self.connection.receive()
            listed = [{"name": self.name, "methods": list(methods) or None}] if members is None else members
            body = answer or hello(self.name, type=type or self.kind, members=listed)
            self.connection._socket.sendall(frame("HANDSHAKE", uuid, names, body))
            done.set()

        threading.Thread(target=serve, daemon=True).start()
        return done


def frame_step(connection, arrow, kind, uuid, names, payload, format="JSON", bits=None):
    """A step in the notation of the files."""
    bits = bits or ("text wants-reply" if kind in ("HANDSHAKE", "REQUEST") else "text")
    quoted = " ".join(json.dumps(name, ensure_ascii=False) for name in names)
    lines = [f"{connection} {arrow} {kind} uuid {uuid} {format} {bits}", f"    names {quoted}"]
    if payload:
        lines.append(f"    text {payload}")
    return "\n".join(lines)


def failed(connection, uuid, names, error):
    """An ERROR step, in JSON."""
    payload = json.dumps({"args": [[*error, None]], "kwargs": {}}, ensure_ascii=False)
    return frame_step(connection, "<", "ERROR", uuid, names, payload)


def refused(connection, uuid, name, why, kind="service"):
    """The answer of our servers to a handshake they refuse."""
    body = json.dumps({"meta": {"type": kind, "error": why}, "members": []}, ensure_ascii=False, separators=(",", ":"))
    return frame_step(connection, "<", "HANDSHAKE", uuid, [name, "", ""], body) + f"\n{connection} < END"
