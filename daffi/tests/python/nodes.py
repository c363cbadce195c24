"""Real daffi nodes behind one face, blocking and asyncio ones alike."""

import asyncio
import random
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from daffi import Client, Router, SerdeFormat, Service
from daffi.aio import AsyncClient, AsyncRouter, AsyncService
from daffi.exceptions import InitializationError, TransmissionFailure

from values import chunks, decode, encode, encode_error

BLOCKING = {"service": Service, "router": Router, "client": Client}
ASYNCIO = {"service": AsyncService, "router": AsyncRouter, "client": AsyncClient}

MAX_SERVER_PATH = 26  # 3.0.1 binds the first 26 bytes of a longer unix path without a word
UNEXPOSED = "no_node_exposes_this"


class Events:
    """Members that came and went, in order."""

    def __init__(self):
        self._changed = threading.Condition()
        self._started = time.monotonic()
        self._seen = []

    def watch(self, node):
        node.on_member_added(lambda member: self._add("added", member))
        node.on_member_removed(lambda member: self._add("removed", member))

    def _add(self, kind, member):
        seconds = round(time.monotonic() - self._started, 4)
        with self._changed:
            self._seen.append({"type": kind, "member": member, "seconds": seconds})
            self._changed.notify_all()

    def list(self):
        with self._changed:
            return list(self._seen)

    def wait(self, kind, member, count, timeout):
        def matching():
            return [seen for seen in self._seen if seen["type"] == kind and seen["member"] == member]

        with self._changed:
            if not self._changed.wait_for(lambda: len(matching()) >= count, timeout):
                raise TimeoutError(f"{len(matching())} of {count} events '{kind} {member}' within {timeout} s")
            return matching()[count - 1]


class Node:
    """A service, router or client; with a loop the asyncio one, whose coroutines run there."""

    def __init__(self, options, loop=None):
        self.mode = options.mode
        self.port = options.port
        self.events = Events()
        self.connection = None
        self._options = options
        self._loop = loop
        self._node = None

    @property
    def name(self):
        return self._node.app_name

    @property
    def info(self):
        return self._node.info

    def start(self):
        """Returns once a server listens or a client is connected. Asyncio nodes: not on the loop's own thread."""
        for attempts_left in self._ports():
            try:
                self._node = self._create()
                self.connection = self._wait(self._node.connect() if self.mode == "client" else self._node.start())
                return
            except InitializationError as error:
                if not attempts_left or "already occupied" not in str(error):
                    raise

    def _ports(self):
        """Ports to try, as the number of tries left; a free port can be taken between our look and the bind."""
        if self.mode == "client" or self._options.port or "/" in self._options.host:
            self.port = self._options.port or 1  # 3.0.1 wants a port with a unix path and ignores it
            yield 0
            return
        for attempts_left in range(19, -1, -1):
            self.port = free_port(self._options.host)
            yield attempts_left

    def _create(self):
        options = self._options
        if self.mode != "client" and "/" in options.host and len(options.host.encode()) > MAX_SERVER_PATH:
            raise InitializationError(f"3.0.1 cuts a server's unix path to {MAX_SERVER_PATH} bytes: {options.host}")
        node = (BLOCKING if self._loop is None else ASYNCIO)[self.mode](
            app_name=options.name,
            host=options.host,
            port=self.port,
            workers=options.workers,
            tls=options.tls,
            cert_file=options.cert,
            key_file=options.key,
            ca_file=options.ca,
        )
        self.events.watch(node)
        return node

    def stop(self):
        # The stop() of a 3.0.1 server never returns and that of a TLS client is a segmentation fault: for these two the
        # end of the process, which follows, is the stop.
        if self.mode == "client" and not self._options.tls:
            self._wait(self._node.stop())

    def join(self):
        return encode(self._wait(self._node.join()))

    def call(self, request, index=0):
        """One call, its result as JSON."""
        style = request.get("style", "rpc")
        settings = {key: request[key] for key in ("timeout", "receiver") if request.get(key) is not None}
        if request.get("serde") is not None:
            settings["serde"] = getattr(SerdeFormat, request["serde"])
        method = getattr(getattr(self._connected(), style)(**settings), request["method"])
        if style.startswith("stream"):
            return encode(self._wait(method(chunks(request["chunks"]))))
        arguments = decode(request.get("args", []), index)
        named = decode(request.get("kwargs", {}), index)
        return encode(self._wait(method(*arguments, **named)))

    def many(self, request):
        """n calls from a thread each (at most `threads` at a time), their outcomes in the order of their numbers."""

        def one(index):
            try:
                return {"ok": self.call(request, index)}
            except BaseException as error:
                return {"error": encode_error(error)}

        number = request["n"]
        with ThreadPoolExecutor(max_workers=request.get("threads", number)) as pool:
            return list(pool.map(one, range(number)))

    def wait_for_members(self, request):
        settings = {"timeout": request.get("timeout", 10), "interval": request.get("interval", 0.05)}
        self._wait(self._connected().wait_for_members(*request["members"], **settings))

    def members(self):
        """The known peers and their callbacks, from the text of a call that cannot be sent: nothing else shows them."""
        try:
            self._wait(getattr(self._connected().rpc(timeout=5), UNEXPOSED)())
        except TransmissionFailure as error:
            found = {}
            for line in str(error).splitlines():
                line = line.strip()
                if line.startswith("•"):
                    found[name := line[1:].strip()] = []
                elif listed := re.match(r"callbacks: \[(.*)\]", line):
                    found[name] = sorted(filter(None, listed[1].split(", ")))
            return found
        raise RuntimeError(f"a node exposes {UNEXPOSED}")

    def _connected(self):
        if self.connection is None:
            raise RuntimeError(f"a {self.mode} makes no calls")
        return self.connection

    def _wait(self, outcome):
        if asyncio.iscoroutine(outcome):
            return asyncio.run_coroutine_threadsafe(outcome, self._loop).result()
        return outcome


def free_port(host):
    """A port nobody listens on, below the range from which the system gives ports to outgoing connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = random.randint(15000, 30000)
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
                return port
            except OSError:
                continue
