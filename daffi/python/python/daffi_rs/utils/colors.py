"""Text in colours of a terminal: `red("error")`, `intense_blue("info")`."""

from __future__ import annotations

from collections.abc import Callable

_RESET = "\033[0m"

Painter = Callable[[str], str]


def _painter(code: str) -> Painter:
    return lambda text: f"\033[{code}m{text}{_RESET}"


grey, red, green, yellow, blue, magenta, cyan, white = (_painter(str(30 + number)) for number in range(8))
(
    intense_grey,
    intense_red,
    intense_green,
    intense_yellow,
    intense_blue,
    intense_magenta,
    intense_cyan,
    intense_white,
) = (_painter(f"{30 + number};1") for number in range(8))
