"""Text in colours of a terminal: `red("error")`, `intense_blue("info")`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

Painter = Callable[[str], str]

NAMES = ["grey", "red", "green", "yellow", "blue", "magenta", "cyan", "white"]


def get_pairs() -> Iterator[tuple[str, str]]:
    """The colours by name, with their codes: each plain and intense."""
    for number, name in enumerate(NAMES, 30):
        yield name, str(number)
        yield f"intense_{name}", f"{number};1"


def ansi(code: str | int) -> str:
    """What switches a terminal to a code."""
    return f"\033[{code}m"


def ansi_color(code: str, s: str) -> str:
    """Text in a colour, after which there is none."""
    return f"{ansi(code)}{s}{ansi(0)}"


def make_color_fn(code: str) -> Painter:
    """What puts text in a colour."""
    return lambda s: ansi_color(code, s)


(
    (grey, intense_grey),
    (red, intense_red),
    (green, intense_green),
    (yellow, intense_yellow),
    (blue, intense_blue),
    (magenta, intense_magenta),
    (cyan, intense_cyan),
    (white, intense_white),
) = ((make_color_fn(str(number)), make_color_fn(f"{number};1")) for number in range(30, 38))
