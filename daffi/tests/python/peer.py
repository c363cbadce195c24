"""A daffi 3.0.1 node in Python that a test drives over stdin and stdout. See README.md beside this file."""

import argparse
import asyncio
import os
import threading

import lifeline


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=("service", "router", "client"))
    parser.add_argument("--host", default="127.0.0.1", help="address, or the path of a unix socket")
    parser.add_argument("--port", type=int, default=0, help="servers: 0 finds a free one")
    parser.add_argument("--name", help="app_name; daffi makes one up when left out")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--worker", action="store_true", help="client: expose the callbacks")
    parser.add_argument("--expose", metavar="A,B", help="only these callbacks; implies --worker")
    parser.add_argument("--aio", action="store_true", help="the asyncio classes")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--cert", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--ca", default="", help="client: certificate to verify with; nothing is verified without")
    parser.add_argument("--max-seconds", type=float, default=120, help="a peer that still runs then is ended")
    return parser.parse_args()


def main():
    options = arguments()
    lifeline.guard(options.max_seconds)
    answers = lifeline.take_stdout()

    # Only now: the guard must be up before anything of the library can hang.
    import callbacks
    from control import Control
    from nodes import Node
    from values import encode_error

    if options.mode == "service" or options.worker or options.expose:
        callbacks.expose(options.expose.split(",") if options.expose else None)

    def start(loop=None):
        node = Node(options, loop)
        control = Control(node, answers)
        try:
            node.start()
        except Exception as error:
            control.say({"ready": False, "error": encode_error(error)})
            os._exit(lifeline.NOT_STARTED)
        callbacks.state.name = node.name
        callbacks.state.connection = node.connection
        return node, control

    def serve(node, control):
        lifeline.own_signals()
        names = {"mode": node.mode, "name": node.name, "host": options.host, "port": node.port}
        control.say({"ready": True, **names, "pid": os.getpid()})
        control.listen()

    async def run_aio():
        serve(*await asyncio.to_thread(start, asyncio.get_running_loop()))
        await asyncio.Event().wait()

    if options.aio:
        asyncio.run(run_aio())
    else:
        serve(*start())
        threading.Event().wait()  # the main thread stays free for signals


if __name__ == "__main__":
    main()
