"""A caller's JSON schema: how a model is given it, and whether an answer fits.

A schema is a program that a stranger wrote. What it may hold is in `schema_check`; here the steps of one validation
are bounded, and its patterns run in linear time (RE2).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import re2
from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.protocols import Validator

MOST_STEPS = 10_000
"""Keywords looked at in one validation, about 0.1 s. An answer of 600 tokens takes a few hundred."""
_MOST_PROBLEMS = 5
_MOST_CITATIONS = 8
"""Asked for: a small model that repeats itself would fill its whole answer with them, and never come to the rest."""

ONE = ("additionalProperties", "items", "contains", "not", "if", "then", "else", "propertyNames")
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("properties", "dependentSchemas", "$defs", "definitions")
REFERENCE = re.compile(r"#(?:/(?:\$defs|definitions)/([A-Za-z0-9_.-]{1,100}))?")

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSchema:
    """A schema that was looked through."""

    name: str
    strict: bool
    schema: Mapping[str, Any]

    @property
    def words(self) -> frozenset[str]:
        """All strings in it, names of fields and values to choose from among them."""
        return frozenset(_words(self.schema))

    def problems(self, answer: Any) -> list["Problem"]:  # noqa: ANN401 - any JSON
        """What of the answer does not fit, at most five; empty where it does."""
        budget = _Budget()
        try:
            found = list(islice(_validator(self.schema, budget).iter_errors(answer), _MOST_PROBLEMS))
        except (_TooLong, RecursionError):
            return [Problem(place="$", rule="validation", message="takes too many steps to validate")]
        return [_problem(error) for error in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Where, by which keyword, and in words that may repeat the answer's."""

    place: str
    rule: str
    message: str


def _problem(error: ValidationError) -> Problem:
    return Problem(place=shown_place(error.json_path), rule=str(error.validator or "false"), message=error.message)


def wrapped(schema: Mapping[str, Any]) -> Schema:
    """The schema of what a model writes: an answer that fits the caller's, and the quotations it stands on.

    The caller's definitions and references move along; it is a definition of its own.
    """
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    root = "answer"
    while root in definitions:
        root += "_"
    inner = {key: value for key, value in schema.items() if key not in ("$schema", "$defs", "definitions")}
    moved = {name: _moved(each, root) for name, each in definitions.items()}
    return {
        "type": "object",
        "properties": {
            "citations": {"type": "array", "items": _CITATION, "maxItems": _MOST_CITATIONS},
            "unanswerable": {"type": "boolean"},
            "answer": {"anyOf": [{"$ref": f"#/$defs/{root}"}, {"type": "null"}]},
        },
        "required": ["citations", "unanswerable", "answer"],
        "additionalProperties": False,
        "$defs": {**moved, root: _moved(inner, root)},
    }


_CITATION = {
    "type": "object",
    "properties": {"passage": {"type": "integer"}, "quote": {"type": "string"}},
    "required": ["passage", "quote"],
    "additionalProperties": False,
}


def _moved(schema: object, root: str) -> object:
    """The schema with its references pointing into the wrapper."""
    if not isinstance(schema, dict):
        return schema
    moved: Schema = {}
    for key, value in schema.items():
        if key == "$ref" and (found := REFERENCE.fullmatch(value)):
            moved[key] = f"#/$defs/{found[1] or root}"
        elif key in ONE:
            moved[key] = _moved(value, root)
        elif key in LISTED:
            moved[key] = [_moved(each, root) for each in value]
        elif key in NAMED:
            moved[key] = {name: _moved(each, root) for name, each in value.items()}
        else:
            moved[key] = value
    return moved


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _words(each)


class _TooLong(Exception):
    """The validation takes more steps than it may."""


class _Budget:
    def __init__(self) -> None:
        self._left = MOST_STEPS

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise _TooLong


Keyword = Callable[[Validator, Any, Any, Schema], Iterator[ValidationError] | None]


def _validator(schema: Mapping[str, Any], budget: _Budget) -> Validator:
    counted = {name: _counted(check, budget) for name, check in Draft202012Validator.VALIDATORS.items()}
    counted["pattern"] = _counted(_matches, budget)
    validator: Validator = validators.extend(Draft202012Validator, counted)(dict(schema))  # type: ignore[no-untyped-call]
    return validator


def _counted(check: Keyword, budget: _Budget) -> Keyword:
    def counting(validator: Validator, value: Any, answer: Any, schema: Schema) -> Iterator[ValidationError]:  # noqa: ANN401 - any JSON
        compared = len(value) if isinstance(value, list) else 1
        pairs = len(answer) ** 2 // 5 if value is True and isinstance(answer, list) else 0  # uniqueItems
        budget.spend(compared + pairs)
        yield from check(validator, value, answer, schema) or ()

    return counting


def _matches(_: Validator, pattern: str, answer: object, __: Schema) -> Iterator[ValidationError]:
    if isinstance(answer, str) and not linear_pattern(pattern).search(answer):
        yield ValidationError(f"does not match {pattern!r}")


def linear_pattern(pattern: str) -> Any:  # noqa: ANN401 - the library has no types
    options = re2.Options()
    options.log_errors, options.max_mem = False, 1 << 20
    return re2.compile(pattern, options)


def shown_place(place: str) -> str:
    """The place, cut where its names are too long to show."""
    return place if len(place) <= 120 else f"{place[:120]}…"
