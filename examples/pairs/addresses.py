"""The one argument all examples share: where to listen or what to connect to."""

import argparse


def parse(option, default, *more, **optional):
    """Reads --listen or --connect, the options in `more`, and those in `optional`, which have defaults.

    The result has .text, .host and .port for a daffi node.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument(f"--{option}", default=default, metavar="ADDRESS", help=f"for example {default}")
    for name in more:
        parser.add_argument(f"--{name}", required=True, metavar="FILE")
    for name, value in optional.items():
        parser.add_argument(f"--{name}", default=value, metavar=name.upper(), help=f"for example {value}")
    arguments = parser.parse_args()
    arguments.text = getattr(arguments, option)
    scheme, _, place = arguments.text.rpartition("://")
    if scheme == "unix":
        arguments.host, arguments.port = place, 1  # daffi 3.0.1 takes a path as the host, beside any port
    else:
        arguments.host, _, port = place.rpartition(":")
        arguments.host, arguments.port = arguments.host.strip("[]"), int(port)
    return arguments
