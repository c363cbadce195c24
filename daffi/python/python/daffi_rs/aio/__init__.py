"""The nodes for asyncio."""

from ._port import AsyncResults
from .app import AsyncClient, AsyncRouter, AsyncService, Client, Router, Service

__all__ = ["AsyncClient", "AsyncResults", "AsyncRouter", "AsyncService", "Client", "Router", "Service"]
