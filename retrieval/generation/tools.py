"""The tools a model may be offered: all of them read, none of them more than the caller may see.

Which ones there are, what they take, and how they are described to the model. What they do: `retrieval/tooling.py`.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from retrieval.domain import Tool
from retrieval.generation.tool_calls import MOST_CHARACTERS

_MOST_PROBLEMS = 3


class Arguments(BaseModel):
    """What a tool takes. Its docstring is what the model reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class SearchArguments(Arguments):
    """Search the documents for passages. Use it when the passages you have do not answer the question."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=500)] = Field(
        description="A question or keywords, understandable by itself"
    )


class OpenArguments(Arguments):
    """Read on in a document, a few passages at a time."""

    document: Annotated[str, StringConstraints(min_length=1, max_length=40)] = Field(
        description="The number of a passage you were given, or a document's id from list_documents"
    )
    start: int = Field(0, ge=0, le=1_000_000, description="The part of the document to begin at; the first is 0")


class ListArguments(Arguments):
    """List documents by title and address, twenty at a time."""

    containing: Annotated[str, StringConstraints(max_length=100)] = Field(
        "", description="Only documents whose title or address contains this"
    )
    start: int = Field(0, ge=0, le=1_000_000, description="How many documents to skip")


ARGUMENTS: Mapping[Tool, type[Arguments]] = {
    Tool.SEARCH: SearchArguments,
    Tool.OPEN_DOCUMENT: OpenArguments,
    Tool.LIST_DOCUMENTS: ListArguments,
}


class BadArguments(Exception):
    """Arguments that no tool takes. `str()` of it tells the model what is wrong."""


def read_arguments(tool: Tool, written: str) -> Arguments:
    """The arguments that the model wrote as JSON. Raises `BadArguments`."""
    if len(written) > MOST_CHARACTERS:
        raise BadArguments(f"the arguments are longer than {MOST_CHARACTERS} characters")
    try:
        arguments = ARGUMENTS[tool].model_validate_json(written.strip() or "{}")
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]
        raise BadArguments("; ".join(_complaint(each["loc"], each["msg"]) for each in problems)) from None
    except ValueError:
        raise BadArguments("the arguments are not JSON") from None
    if "\\u0000" in arguments.model_dump_json():
        raise BadArguments("the arguments hold characters that are not text")
    return arguments


@cache
def offered(tools: frozenset[Tool]) -> tuple[dict[str, Any], ...]:
    """The tools as the OpenAI protocol describes them, always in the same order."""
    return tuple(_described(tool) for tool in Tool if tool in tools)


def named(name: str, among: Collection[Tool]) -> Tool | None:
    """The tool of that name, if it is among those offered."""
    return next((tool for tool in among if tool == name), None)


def _described(tool: Tool) -> dict[str, Any]:
    schema = ARGUMENTS[tool].model_json_schema()
    properties = {name: _plain(field) for name, field in schema["properties"].items()}
    parameters = {"type": "object", "properties": properties, "required": schema.get("required", [])}
    function = {"name": tool.value, "description": schema["description"], "parameters": parameters}
    return {"type": "function", "function": function}


def _plain(field: Mapping[str, Any]) -> dict[str, Any]:
    # Bounds are left out: not every server's grammar knows them, and they are checked here anyway.
    return {key: field[key] for key in ("type", "description") if key in field}


def _complaint(location: tuple[str | int, ...], message: str) -> str:
    where = ".".join(str(part)[:40] for part in location)
    return f"{where}: {message[:200]}" if where else message[:200]
