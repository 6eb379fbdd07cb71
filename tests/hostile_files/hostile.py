"""What a hostile file is."""

from collections.abc import Callable
from dataclasses import dataclass

READABLE = "readable"
"""The code of a file that looks worse than it is: it is read like any other."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """`trick`: what is wrong with it; `make`: its bytes."""

    trick: str
    extension: str
    code: str
    make: Callable[[], bytes]

    def __str__(self) -> str:
        return f"{self.trick}{self.extension}".replace(" ", "-")
