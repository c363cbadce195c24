"""Loggers that colour what they write, for programs that took them from daffi."""

from __future__ import annotations

import logging
import sys
from typing import Any

from . import colors
from .colors import Painter


class DaffiLoggerAdapter(logging.LoggerAdapter):  # type: ignore[type-arg]
    """Adds who writes to each line."""


class ColoredFormatter(logging.Formatter):
    """Puts the level before each line, in the colour of how grave it is."""

    def get_level_message(self, record: logging.LogRecord) -> str:
        """The level, as wide as all levels are."""
        if record.levelno <= logging.INFO:
            paint = colors.green
        elif record.levelno <= logging.WARNING:
            paint = colors.yellow
        else:
            paint = colors.red
        return f"{paint(record.levelname)}:".ljust(17)

    def format(self, record: logging.LogRecord) -> str:
        """The line with its level."""
        if isinstance(record.msg, bytes):
            record.msg = record.msg.decode("utf-8", "replace")
        return f"{self.get_level_message(record)} {super().format(record)}"


def sync_native_log_level(python_level: int | None = None) -> None:
    """Has the package log from this level on, the root logger's when none is given. It has `logging` to log to here,
    and so a level of the logger `daffi_rs` does the same."""
    level = logging.getLogger().getEffectiveLevel() if python_level is None else python_level
    logging.getLogger("daffi_rs").setLevel(level)


def get_daffi_logger(name: str, color: Painter) -> DaffiLoggerAdapter:
    """A logger of this name, at the level of the root's, that writes to stdout, and warnings and worse to stderr."""
    logger = logging.getLogger(name)
    logger.propagate = False
    level = logging.getLogger().getEffectiveLevel()
    logger.setLevel(level)
    out, err = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    out.setLevel(level)
    out.addFilter(lambda record: record.levelno < logging.WARNING)
    err.setLevel(logging.WARNING)
    logger.handlers[:] = [out, err]
    for handler in logger.handlers:
        handler.setFormatter(ColoredFormatter("%(asctime)s %(app)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    who: dict[str, Any] = {"app": f"{color('|')} {name:^10} {color('|')}"}
    return DaffiLoggerAdapter(logger, who)
