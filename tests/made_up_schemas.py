"""JSON schemas and values made up for properties."""

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "$ref", "pattern", "answer"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "bb", "ccc"]) | st.just(0.5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
_DEFINITIONS = ("a", "b", "answer")
_PLAIN = st.one_of(
    st.booleans(),
    st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"]).map(
        lambda kind: {"type": kind}
    ),
    st.lists(VALUES, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    VALUES.map(lambda value: {"const": value}),
    st.sampled_from([{"minLength": 2}, {"pattern": "^a"}, {"maximum": 1}, {"multipleOf": 2}, {"maxItems": 1}]),
    st.sampled_from([{"required": ["a"]}, {"uniqueItems": True}, {"minProperties": 1}, {}]),
    st.sampled_from(_DEFINITIONS).map(lambda name: {"$ref": f"#/$defs/{name}"}),
)


def _holding(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        named.map(lambda schemas: {"properties": schemas}),
        named.map(lambda schemas: {"properties": schemas, "additionalProperties": False}),
        inner.map(lambda schema: {"items": schema}),
        inner.map(lambda schema: {"not": schema}),
        several.map(lambda schemas: {"allOf": schemas}),
        several.map(lambda schemas: {"anyOf": schemas}),
        several.map(lambda schemas: {"oneOf": schemas}),
        several.map(lambda schemas: {"prefixItems": schemas}),
        st.just({"items": {"$ref": "#"}}),
        st.just({"properties": {"a": {"$ref": "#"}}}),
    )


_SCHEMAS = st.recursive(_PLAIN, _holding, max_leaves=6)


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """An object schema with definitions; it may go round in a circle, which is refused."""
    root = draw(_SCHEMAS.filter(lambda schema: isinstance(schema, dict)))
    return {**root, "$defs": {name: draw(_SCHEMAS) for name in _DEFINITIONS}}
