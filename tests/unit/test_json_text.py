"""JSON as models write it is read strictly, or not at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.generation.json_text import NotJson, read_json


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', '  {"a": 1}\n', '```json\n{"a": 1}\n```', '```\n{"a": 1}\n```\n', '```JSON\n{\n  "a": 1\n}\n```'],
)
def test_a_value_may_stand_in_a_code_fence(text: str) -> None:
    """Models put one around it however often they are told not to."""
    assert read_json(text) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('Here it is: {"a": 1}', "Expecting value (character 0)"),
        ('{"a": 1} I hope this helps', "text after the JSON (character 9)"),
        ('{"a": 1}{"a": 2}', "text after the JSON"),
        ('{"a": 1', "character 7"),
        ("", "Expecting value"),
        ('{"a": NaN}', "NaN is no number"),
        ("[Infinity]", "Infinity is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "too large"),
        ("[9223372036854775808]", "too large"),
        ("[" + "9" * 5000 + "]", "too large"),
        ('{"a": 1, "a": 2}', "the same key twice"),
        ('[{"b": {"a": 1, "a": 1}}]', "the same key twice"),
        ('["\\ud800"]', "not text"),
        ('["\\u0000"]', "not text"),
        ('{"\\ud83d": 1}', "not text"),
        ("[" * 40 + "]" * 40, "too deeply"),
        ("[" * 100_000, "too deeply"),
        ('{"a":' * 100_000, "too deeply"),
        ('["a\nb"]', "Invalid control character"),
        ("{'a': 1}", "Expecting property name"),
        ('{"a": 1,}', "property name"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(text: str, complaint: str) -> None:
    """With a reason that repeats nothing of the text."""
    with pytest.raises(NotJson) as caught:
        read_json(text)
    assert complaint in str(caught.value)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0")), inner)
    ),
)


@given(_VALUES, st.booleans())
def test_what_json_can_say_is_read(value: object, ascii_only: bool) -> None:
    """What was written comes back, emoji escaped in two halves included."""
    assert read_json(json.dumps(value, ensure_ascii=ascii_only)) == value


@given(st.text() | st.text(st.sampled_from('{}[]",:0123456789.eE+-nulltrue\\ ')))
def test_any_text_is_a_value_or_refused(text: str) -> None:
    """And a value can be written again."""
    try:
        value = read_json(text)
    except NotJson:
        return
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
