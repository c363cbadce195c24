"""The control protocol: one JSON object per line, requests on stdin and answers on stdout. README.md describes it."""

import json
import os
import sys
import threading
import time

import callbacks
from lifeline import STOPPED
from values import decode, encode, encode_error


class Control:
    def __init__(self, node, answers):
        self._node = node
        self._answers = answers
        self._writing = threading.Lock()

    def say(self, answer):
        line = json.dumps(answer, allow_nan=False)
        with self._writing:
            self._answers.write(line + "\n")
            self._answers.flush()

    def listen(self):
        """Reads requests in a thread of its own; the end of stdin ends the process."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in sys.stdin:
            if line.strip():
                # A thread each: a call that hangs must not keep the driver from asking what else is going on.
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()
        os._exit(STOPPED)

    def _serve(self, line):
        identity, operation, started = None, None, time.monotonic()
        try:
            request = json.loads(line)
            identity, operation = request.get("id"), request["op"]
            answer = {"id": identity, "ok": self._run(operation, request)}
        except BaseException as error:  # SystemExit too: 3.0.1 raises whatever the remote side raised
            answer = {"id": identity, "error": encode_error(error)}
        answer["seconds"] = round(time.monotonic() - started, 4)
        self.say(answer)
        if operation == "stop":
            os._exit(STOPPED)

    def _run(self, operation, request):
        node, state = self._node, callbacks.state
        if operation == "call":
            return node.call(request)
        if operation == "many":
            return node.many(request)
        if operation == "members":
            return node.members()
        if operation == "wait_for_members":
            return node.wait_for_members(request)
        if operation == "events":
            return node.events.list()
        if operation == "wait_event":
            return node.events.wait(
                request["type"], request["member"], request.get("count", 1), request.get("timeout", 10)
            )
        if operation == "invoke":  # a callback of this very node, without the network
            return encode(callbacks.CALLBACKS[request["method"]](*decode(request.get("args", []))))
        if operation == "info":
            return {"mode": node.mode, "name": state.name, "port": node.port, "info": node.info, "pid": os.getpid()}
        if operation == "join":
            return node.join()
        if operation == "stop":
            return node.stop()
        if operation == "exit":  # no farewell to the network
            os._exit(request.get("code", STOPPED))
        raise ValueError(f"unknown operation {operation!r}")
