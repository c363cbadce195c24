"""The settings of nodes, as the engine takes them."""

from __future__ import annotations

import logging
import operator
import os
from typing import TYPE_CHECKING, Any

from .exceptions import InitializationError
from .utils.misc import an

if TYPE_CHECKING:
    from .app import Application

log = logging.getLogger("daffi_rs")


class Tls:
    """Files of certificates, as the engine takes them."""

    __slots__ = ("any_host", "ca_file", "cert_file", "key_file", "unverified")

    def __init__(self, cert_file: Any, key_file: Any, ca_file: Any, compat: bool) -> None:
        files = {"cert_file": cert_file, "key_file": key_file, "ca_file": ca_file}
        self.cert_file, self.key_file, self.ca_file = (_path(name, file) for name, file in files.items())
        # 3.0.1 looks at no name, and at nothing where it is given no file.
        self.any_host = self.unverified = compat


class Options:
    """The settings of a node, as the engine takes them."""

    __slots__ = ("budget", "endpoints", "grace", "max_body", "max_connections", "name", "tls", "token", "workers")

    def __init__(self, node: Application) -> None:
        self.name, self.workers, self.tls = _text("app_name", node.app_name), node.workers, node._tls()
        self.endpoints = [_text("addresses", endpoint) for endpoint in node._endpoints()]
        _check_tls(node, self.endpoints)
        self.grace = None if node._grace is None else _seconds("grace", node._grace)
        self.max_body, self.budget = _whole("max_body", node._max_body), _whole("budget", node._budget)
        self.max_connections = _whole("max_connections", node._max_connections)
        self.token = None if node._token is None else _text("token", node._token)


class InvalidValue(InitializationError, ValueError):
    """A setting has a value that it cannot have."""


class NoNumber(InvalidValue, TypeError):
    """A setting is no number that could be one."""


#: The engine counts no further.
_MOST = 2**63 - 1


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValue(f"{name} is {value!r}: it must be text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(f"{name} is {value!r}, which is no text that could be sent: {error.reason}") from None
    return value


def _path(name: str, value: Any) -> str | None:
    if not value:
        return None
    try:
        return _text(name, os.fspath(value))
    except TypeError:
        raise InvalidValue(f"{name} is {value!r}: it must be the path of a file") from None


def _seconds(name: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = -1
    if not 0 <= seconds <= 1e18:
        raise InvalidValue(f"{name} is {value!r}: it must be a number of seconds, from 0 to 1e18")
    return seconds


def _whole(name: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number <= _MOST:
        raise InvalidValue(f"{name} is {value!r}: it must be a whole number from 0 to {_MOST}")
    return number


def check_max_values(value: Any) -> int | None:
    """How many values a payload may have. Refuses what is no such number."""
    return _whole("max_values", value)


def check_workers(workers: Any) -> None:
    """Refuses a node that could run no callback."""
    try:
        operator.index(workers)
    except TypeError:
        raise NoNumber(f"workers={workers!r}: it must be a whole number, and it is {an(type(workers).__name__)}") from None
    if workers < 1:
        raise InvalidValue(
            f"workers must be >= 1 (got {workers!r}): with none no callback could ever run. Use workers=1 for inline "
            "callbacks, which run one after the other"
        )


def _check_tls(node: Application, endpoints: list[str]) -> None:
    """Refuses certificates that would protect nothing, and endpoints that `tls` does not reach."""
    plain = [endpoint for endpoint in endpoints if endpoint.partition("://")[0] not in ("tls", "wss")]
    given = [name for name in ("cert_file", "key_file", "ca_file") if getattr(node, name)]
    why = None
    if node.tls and plain:
        why = f"tls=True is given, and {plain[0]} has no TLS: name it tls://, or leave tls out"
    elif given and len(plain) == len(endpoints):
        why = f"{given[0]} is given, and no endpoint has TLS: give tls=True, or addresses with tls://"
    elif bool(node.cert_file) != bool(node.key_file):
        one, other = ("cert_file", "key_file") if node.cert_file else ("key_file", "cert_file")
        why = f"{one} is given without {other}: a certificate is shown with its key"
    if why is None:
        return
    if not node._compat:
        raise InitializationError(why)
    # 3.0.1 takes it all, and what means nothing there means nothing.
    log.warning("%s: in compat mode it has no effect", why)


def tcp(host: str, port: int | None, tls: bool) -> str:
    """The endpoint of a host, or of a path in its place."""
    host = _text("host", host)
    if host.startswith(("/", "./")):
        return f"unix://{os.path.abspath(host)}"
    if port is None:
        raise InitializationError(f"host is {host!r} and there is no port: give one, 0 for any that is free")
    return f"{'tls' if tls else 'tcp'}://{f'[{host}]' if ':' in host else host}:{port}"
