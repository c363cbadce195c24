"""PICKLE, the default format, carries dates, decimals, sets and tuples as what they are."""

from datetime import timedelta

from addresses import parse
from daffi import Service, callback


@callback
def shift(moment, days):
    return moment + timedelta(days=days)


@callback
def total(prices):
    return sum(prices)


@callback
def unique(items):
    return set(items)


@callback
def swap(pair):
    first, second = pair
    return (second, first)


address = parse("listen", "tcp://127.0.0.1:5003")
service = Service(app_name="pickle-service", host=address.host, port=address.port)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
