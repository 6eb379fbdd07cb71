"""Moves the index to another generation: forward after a rebuild, or back to the one before."""

from dataclasses import dataclass

from ingest.generations.building import Rebuild, build
from ingest.generations.records import Generations
from retrieval.errors import Conflict

_ROUNDS = 5
"""Times to catch up with writers who go on, before they have to wait."""
_PAUSE = 60.0
"""Seconds that writers wait at most, while the last documents are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a move took: documents made to catch up, and whether writers had to wait."""

    caught_up: int
    paused: bool


def move(generations: Generations, rebuild: Rebuild) -> Moved:
    """Makes the generation live, with every document as it is at that moment, in one transaction; questions go on.

    Raises `Conflict` where documents could not be made within the time that writers may be kept waiting, and like
    `build()`.
    """
    number, caught_up = rebuild.generation.generation_id, 0
    try:
        # As often again once writers wait: each who had looked just before may write once more.
        for at in range(2 * _ROUNDS):
            if at == _ROUNDS:
                generations.pause(number, _PAUSE)
            caught_up += build(rebuild)
            if generations.make_live(number):
                return Moved(caught_up=caught_up, paused=at >= _ROUNDS)
    finally:
        generations.resume(number)
    raise Conflict("documents change faster than they can be made: try again, or pause your writers")
