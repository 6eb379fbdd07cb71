"""A schema that a stranger wrote: what it may hold, what it costs at most, and that wrapping changes nothing."""

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from retrieval.domain import ResponseFormat
from retrieval.errors import InvalidResponseFormat
from retrieval.generation.json_schema import AnswerSchema, wrapped
from retrieval.generation.schema_check import MOST_CHARACTERS, checked
from tests.made_up_schemas import VALUES, schemas

_WORDS = st.sampled_from(["type", "properties", "items", "$ref", "$defs", "allOf", "not", "pattern", "required", "a"])
DAYS = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}


def _checked(schema: dict[str, Any]) -> AnswerSchema:
    return checked(ResponseFormat(name="made_up", schema=schema))


def _nested(levels: int, keyword: str = "items") -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {keyword: schema}
    return schema


def _laughing(levels: int) -> dict[str, Any]:
    """Each definition holds the next one twice: 2^levels steps."""
    twice = {f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(levels)}
    return {"$defs": {**twice, f"d{levels}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "strin"}, "$.type: "),
        ({"properties": {"days": 5}}, "$.properties.days: 5 is not"),
        ({"properties": {"days": {"type": "object", "required": "all"}}}, "$.properties.days.required: "),
        ({"$ref": "http://169.254.169.254/latest"}, "$.$ref: only # and #/$defs/name"),
        ({"items": {"$ref": "other.json"}}, "$.items.$ref: only #"),
        ({"$ref": "file:///etc/passwd"}, "$.$ref: only #"),
        ({"$ref": 5}, "$.$ref: only #"),
        ({"$ref": "#/$defs/none"}, "$.$ref: there is no such definition"),
        ({"$ref": "#/properties/a", "properties": {"a": {}}}, "$.$ref: only #"),
        ({"$ref": "#"}, "refers to itself without end"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}, "refers to itself without end"),
        ({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, "refers to itself without end"),
        ({"$defs": 5}, "$.$defs: is not an object"),
        ({"$defs": {"a": {}}, "definitions": {"a": {}}}, "$.definitions.a: stands in $defs as well"),
        ({"$id": "http://example.org"}, "$.$id: is not supported here"),
        ({"items": {"$dynamicRef": "#x"}}, "$.items.$dynamicRef: is not supported here"),
        ({"patternProperties": {"(a+)+$": {}}}, "$.patternProperties: is not supported here"),
        ({"unevaluatedProperties": False}, "$.unevaluatedProperties: is not supported here"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$.$schema: only draft 2020-12"),
        ({"pattern": "(?=a)b"}, "$.pattern: is no regular expression"),
        ({"pattern": "(x{1,1000}){1,1000}"}, "$.pattern: is no regular expression"),
        ({"properties": {str(at): {"pattern": "a"} for at in range(51)}}, "more than 50 patterns"),
        (_nested(17), "nested too deeply"),
        (_nested(900), "nested too deeply"),
        ({"description": "x" * MOST_CHARACTERS}, "the most are 16000"),
        ({"minimum": float("nan")}, "holds what is no JSON"),
        ({"const": "\ud800"}, "holds what is no JSON"),
        ({"x" * 500: {"type": 5}, "properties": {"x" * 500: 5}}, "…: "),
    ],
)
def test_what_is_wrong_names_its_place(schema: dict[str, Any], complaint: str) -> None:
    """A caller is told where to mend the schema; nothing outside it is ever fetched."""
    with pytest.raises(InvalidResponseFormat) as caught:
        _checked(schema)
    assert complaint in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (_laughing(40), 1),
        ({"properties": {"a": {"allOf": [{"$ref": "#"}] * 2}}}, {"a": {"a": {"a": {"a": {"a": {}}}}}}),
        ({"pattern": "^(a+)+$"}, "a" * 5000 + "!"),
        ({"uniqueItems": True}, [{"a": at} for at in range(2000)]),
        ({"items": {"enum": list(range(1500))}}, [-1] * 2000),
        (_nested(16), [[[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]]),
    ],
    ids=["laughs", "twice a level", "backtracking", "unique", "enum", "deep"],
)
def test_no_schema_takes_long(schema: dict[str, Any], answer: object) -> None:
    """Neither to look through nor to hold an answer against: what would, is given up after so many steps."""
    started = time.process_time()
    _checked(schema).problems(answer)
    assert time.process_time() - started < 5  # a second on a slow machine; without a bound, for ever


def test_a_schema_may_refer_to_itself_as_it_goes_deeper() -> None:
    """Trees are what references are for."""
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    assert _checked(tree).problems({"children": [{"children": []}]}) == []
    [problem] = _checked(tree).problems({"children": [{"children": [5]}]})
    assert (problem.place, problem.rule) == ("$.children[0].children[0]", "type")


def test_data_in_a_schema_is_no_schema() -> None:
    """`$ref` is a word like any other in a constant, and as a property's name."""
    schema = {"properties": {"$ref": {"const": {"$ref": "http://example.org"}}, "$id": {"type": "string"}}}
    assert _checked(schema).problems({"$ref": {"$ref": "http://example.org"}, "$id": "x"}) == []
    assert wrapped(schema)["$defs"]["answer"]["properties"]["$ref"]["const"] == {"$ref": "http://example.org"}


def test_problems_name_place_and_rule_and_are_few() -> None:
    """Enough to mend an answer by, and no more."""
    assert _checked(DAYS).problems({"days": 30}) == []
    [problem] = _checked(DAYS).problems({"days": "thirty"})
    assert (problem.place, problem.rule) == ("$.days", "type")
    assert len(_checked({"items": DAYS}).problems(list(range(100)))) == 5


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(schemas(), VALUES)
def test_wrapping_changes_nothing(schema: dict[str, Any], answer: object) -> None:
    """The wrapper takes an answer exactly when the caller's schema does, or when it is null."""
    try:
        own = _checked(schema)
    except InvalidResponseFormat:
        return
    around = wrapped(schema)
    Draft202012Validator.check_schema(around)
    takes = Draft202012Validator(around).is_valid({"citations": [], "unanswerable": False, "answer": answer})
    assert takes == (answer is None or not own.problems(answer))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(_WORDS, inner))
)
def test_whatever_is_sent_is_a_schema_or_refused(given_schema: object) -> None:
    """No input makes the check fail in another way."""
    if isinstance(given_schema, dict):
        with suppress(InvalidResponseFormat):
            _checked(given_schema).problems({"a": [1]})
