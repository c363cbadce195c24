"""The settings of nodes, as the engine takes them."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from .exceptions import InitializationError

if TYPE_CHECKING:
    from .app import Application

log = logging.getLogger("daffi_rs")


class Tls:
    """Files of certificates, as the engine takes them."""

    __slots__ = ("any_host", "ca_file", "cert_file", "key_file", "unverified")

    def __init__(self, cert_file: str, key_file: str, ca_file: str, compat: bool) -> None:
        self.cert_file, self.key_file, self.ca_file = cert_file or None, key_file or None, ca_file or None
        # 3.0.1 looks at no name, and at nothing where it is given no file.
        self.any_host = self.unverified = compat


class Options:
    """The settings of a node, as the engine takes them."""

    __slots__ = ("budget", "endpoints", "grace", "max_body", "max_connections", "name", "tls", "token", "workers")

    def __init__(self, node: Application) -> None:
        self.name, self.workers, self.tls = node.app_name, node.workers, node._tls()
        self.endpoints = node._endpoints()
        _check_tls(node, self.endpoints)
        self.grace, self.max_body = node._grace, node._max_body
        self.max_connections, self.budget, self.token = node._max_connections, node._budget, node._token


class InvalidValue(InitializationError, ValueError):
    """A setting has a value that it cannot have."""


def check_workers(workers: Any) -> None:
    """Refuses a node that could run no callback."""
    if workers < 1:
        raise InvalidValue(f"workers must be >= 1 (got {workers!r}): with none no callback could ever run")


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
    if host.startswith(("/", "./")):
        return f"unix://{os.path.abspath(host)}"
    if port is None:
        raise InitializationError(f"host is {host!r} and there is no port: give one, 0 for any that is free")
    return f"{'tls' if tls else 'tcp'}://{f'[{host}]' if ':' in host else host}:{port}"
