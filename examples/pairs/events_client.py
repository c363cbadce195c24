"""Watches a visitor come and go. At events_service.py only the service sees it, at router.py this program."""

import queue

from addresses import parse
from daffi import Client

address = parse("connect", "tcp://127.0.0.1:5008")
events = queue.Queue()
watcher = Client(app_name="watcher", host=address.host, port=address.port)
watcher.on_member_added(lambda member: events.put(f"added: {member}"))
watcher.on_member_removed(lambda member: events.put(f"removed: {member}"))
watcher.connect()


def show_next():
    try:
        print(events.get(timeout=1))
    except queue.Empty:
        print("nothing heard")


visitor = Client(app_name="visitor", host=address.host, port=address.port)
visitor.connect()
show_next()
visitor.stop()
show_next()
watcher.stop()
