"""What a caller's JSON schema may hold: bounded in size and depth, it refers to itself alone and comes to an end."""

import json
import re
from collections.abc import Iterator
from typing import Any

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from retrieval.domain import ResponseFormat
from retrieval.errors import InvalidResponseFormat
from retrieval.generation.json_schema import (
    LISTED,
    NAMED,
    ONE,
    REFERENCE,
    AnswerSchema,
    Schema,
    linear_pattern,
    shown_place,
)

MOST_CHARACTERS = 16_000
"""Of the schema as JSON: about 4,000 tokens of a prompt; a form of a hundred fields takes half."""
DEEPEST = 16
MOST_PATTERNS = 50
_OF_THE_SAME_VALUE = ("not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas")
_NAMES_ITSELF = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary")
_UNBOUNDED = ("patternProperties", "unevaluatedItems", "unevaluatedProperties")
"""jsonschema reads these with Python's own patterns, or without a count of its steps."""
_REFUSED = frozenset((*_NAMES_ITSELF, *_UNBOUNDED))
_DRAFT = re.compile(r"https?://json-schema\.org/draft/2020-12/schema#?")

Place = tuple[str, ...]


def checked(wanted: ResponseFormat) -> AnswerSchema:
    """The schema, fit for use. Takes up to tenths of a second. Raises `InvalidResponseFormat`, naming the place."""
    schema = dict(wanted.schema)
    _check_size(schema)
    _Check(schema).run()
    try:
        error = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema))
    except RecursionError:
        raise InvalidResponseFormat("$: nested too deeply") from None
    if error is not None:
        raise InvalidResponseFormat(f"{shown_place(error.json_path)}: {error.message[:200]}")
    return AnswerSchema(name=wanted.name, strict=wanted.strict, schema=schema)


def _check_size(schema: Schema) -> None:
    try:
        size = len(json.dumps(schema, allow_nan=False, ensure_ascii=False).encode())
    except (ValueError, RecursionError) as error:
        raise InvalidResponseFormat("$: holds what is no JSON, or is nested too deeply") from error
    if size > MOST_CHARACTERS:
        raise InvalidResponseFormat(f"$: the schema takes {size} bytes, the most are {MOST_CHARACTERS}")


class _Check:
    """Walks through a schema once, before anybody believes that it is one."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._patterns = 0

    def run(self) -> None:
        """Raises `InvalidResponseFormat`."""
        for keyword in ("$defs", "definitions"):
            if not isinstance(self._schema.get(keyword, {}), dict):
                raise _refusal(("$", keyword), "is not an object")
        both = set(self._schema.get("$defs", {})) & set(self._schema.get("definitions", {}))
        if both:
            raise _refusal(("$", "definitions", min(both)), "stands in $defs as well")
        self._walk(self._schema, ("$",), 0)
        settled: set[int] = set()
        for schema, place in [(self._schema, ("$",)), *_below(self._schema, ("$",))]:
            self._ends(schema, place, (), settled)

    def _walk(self, schema: object, place: Place, depth: int) -> None:
        if depth > DEEPEST:
            raise _refusal(place, "nested too deeply")
        if not isinstance(schema, dict):
            return  # true, false, or what check_schema complains of
        self._check(schema, place)
        for inner, where in _inner(schema, place):
            self._walk(inner, where, depth + 1)

    def _check(self, schema: Schema, place: Place) -> None:
        for keyword in sorted(_REFUSED & schema.keys()):
            raise _refusal((*place, keyword), "is not supported here")
        declared = schema.get("$schema", "https://json-schema.org/draft/2020-12/schema")
        if not isinstance(declared, str) or not _DRAFT.fullmatch(declared):
            raise _refusal((*place, "$schema"), "only draft 2020-12 is supported")
        if "$ref" in schema:
            self._target(schema["$ref"], (*place, "$ref"))
        if "pattern" in schema:
            self._patterns += 1
            self._check_pattern(schema["pattern"], (*place, "pattern"))

    def _target(self, reference: object, place: Place) -> object:
        found = REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
        if not found:
            raise _refusal(place, "only # and #/$defs/name can be referred to")
        if not found[1]:
            return self._schema
        definitions = {**self._schema.get("definitions", {}), **self._schema.get("$defs", {})}
        if found[1] not in definitions:
            raise _refusal(place, "there is no such definition")
        return definitions[found[1]]

    def _check_pattern(self, pattern: object, place: Place) -> None:
        if self._patterns > MOST_PATTERNS:
            raise _refusal(place, f"more than {MOST_PATTERNS} patterns")
        try:
            linear_pattern(str(pattern))
        except re2.error as error:
            raise _refusal(place, "is no regular expression of the kind that ends in linear time (RE2)") from error

    def _ends(self, schema: object, place: Place, above: tuple[int, ...], settled: set[int]) -> None:
        """Raises where a schema holds a value against itself without going deeper into it."""
        if not isinstance(schema, dict) or id(schema) in settled:
            return
        if id(schema) in above or len(above) > 10 * DEEPEST:
            raise _refusal(place, "refers to itself without end, or along too many definitions")
        inner = [one for one in _inner(schema, place) if one[1][len(place)] in _OF_THE_SAME_VALUE]
        if "$ref" in schema:
            inner.append((self._target(schema["$ref"], place), (*place, "$ref")))
        for each, where in inner:
            self._ends(each, where, (*above, id(schema)), settled)
        settled.add(id(schema))


def _inner(schema: Schema, place: Place) -> Iterator[tuple[Any, Place]]:
    """The schemas that stand directly in this one, and where."""
    for keyword in ONE:
        if keyword in schema:
            yield schema[keyword], (*place, keyword)
    for keyword in LISTED:
        listed = schema.get(keyword)
        for at, each in enumerate(listed if isinstance(listed, list) else ()):
            yield each, (*place, keyword, str(at))
    for keyword in NAMED:
        named = schema.get(keyword)
        for name, each in (named if isinstance(named, dict) else {}).items():
            yield each, (*place, keyword, name)


def _below(schema: object, place: Place) -> Iterator[tuple[object, Place]]:
    for inner, where in _inner(schema, place) if isinstance(schema, dict) else ():
        yield inner, where
        yield from _below(inner, where)


def _refusal(place: Place, reason: str) -> InvalidResponseFormat:
    return InvalidResponseFormat(f"{shown_place('.'.join(place))}: {reason}")
