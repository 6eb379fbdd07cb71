"""JSON as a language model writes it, read strictly: what two readers could understand differently is refused."""

import json
import math
import re
from collections.abc import Iterator

DEEPEST = 32
"""Levels of lists and objects. No answer is deeper; a parser's stack is."""

_FENCED = re.compile(r"\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*", re.DOTALL | re.IGNORECASE)
_LARGEST = 2**63
"""Whole numbers from here on no database column holds, and many readers round them."""


class NotJson(ValueError):
    """What is wrong with the text, in words of our own: nothing of it is repeated."""


def read_json(text: str) -> object:
    """The value that the text is, the whole of it; a code fence around it is taken off.

    Raises `NotJson`, also for NaN, numbers too large, a key twice, characters that are no text, and great depth.
    """
    fenced = _FENCED.fullmatch(text)
    try:
        value = _DECODER.decode(fenced[1] if fenced else text)
    except json.JSONDecodeError as error:
        reason = "text after the JSON" if error.msg == "Extra data" else error.msg
        raise NotJson(f"{reason} (character {error.pos})") from None
    except RecursionError:
        raise NotJson("nested too deeply") from None
    for each in _strings(value):
        if "\0" in each or any("\ud800" <= character <= "\udfff" for character in each):
            raise NotJson("a string holds characters that are not text")
    return value


def _strings(value: object) -> Iterator[str]:
    """Every string and key in the value. Raises `NotJson` below the deepest level."""
    level = [value]
    for _ in range(DEEPEST + 1):
        yield from (each for each in level if isinstance(each, str))
        yield from (key for each in level if isinstance(each, dict) for key in each)
        below = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [inner for each in below for inner in each]
        if not level:
            return
    raise NotJson("nested too deeply")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("an object has the same key twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(number := int(digits)) >= _LARGEST:
        raise NotJson("a number is too large")
    return number


def _real(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise NotJson("a number is too large")
    return number


def _constant(name: str) -> float:
    raise NotJson(f"{name} is no number in JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole, parse_float=_real, parse_constant=_constant, strict=True
)
