"""What the model's tools do: read, always as the caller, under the question's own filter, and never anything else.

Whatever a model or a document makes of it, a call can find nothing that the caller's own search could not.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from retrieval.domain import Candidate, Passage, Question, RankedPassage, StepTaken
from retrieval.engine import Engine
from retrieval.errors import NotFound, PinciteError
from retrieval.generation.prompting import attribute, harmless
from retrieval.generation.tool_calls import ToolCall, ToolResult
from retrieval.generation.tools import (
    Arguments,
    BadArguments,
    ListArguments,
    OpenArguments,
    SearchArguments,
    named,
    read_arguments,
)
from retrieval.search.browsing import Listed, documents, parts
from retrieval.search.filtering import narrow
from retrieval.searching import retrieve

_MOST_FOUND = 5
_MOST_PARTS = 4
_MOST_LISTED = 20
_LONGEST_NAME = 100
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A call as it was taken, what the model is told of it, and what everybody else is."""

    call: ToolCall
    result: ToolResult
    step: StepTaken


@dataclass(frozen=True, slots=True, kw_only=True)
class _Brought:
    passages: tuple[RankedPassage, ...] = ()
    listed: tuple[Listed, ...] = ()
    note: str = ""
    found: int = 0


class Toolbox:
    """The tools of one question. Knows all passages found so far, and numbers new ones on from them."""

    def __init__(self, engine: Engine, question: Question, found: Sequence[RankedPassage]) -> None:
        self._engine = engine
        self._question = question
        self._found = list(found)

    async def use(self, call: ToolCall, number: int, until: float) -> Used:
        """The call's result, as the answer's step of this number. Never raises: a call that fails is refused.

        `until` is a time of the running loop.
        """
        tool = named(call.name, self._question.tools)
        if tool is None:
            offered = ", ".join(sorted(self._question.tools))
            return _refused(_UNKNOWN, None, number, "unknown_tool", f"there is no such tool; there are: {offered}")
        try:
            arguments = read_arguments(tool, call.arguments)
        except BadArguments as error:
            return _refused(tool, None, number, "invalid_arguments", str(error))
        known = len(self._found)
        try:
            async with asyncio.timeout_at(until):
                brought = await self._run(arguments)
        except TimeoutError:
            return _refused(tool, arguments, number, "timeout", "there is no time left")
        except PinciteError as error:
            return _refused(tool, arguments, number, error.code, str(error))
        step = StepTaken(
            number=number,
            tool=tool,
            arguments=arguments.model_dump(),
            found=brought.found,
            passages=tuple(self._found[known:]),
            listed=tuple((each.document_id, each.version) for each in brought.listed),
        )
        call = ToolCall(name=tool, arguments=arguments.model_dump_json())
        return Used(call=call, result=ToolResult(note=brought.note, passages=brought.passages), step=step)

    async def _run(self, arguments: Arguments) -> _Brought:
        match arguments:
            case SearchArguments(query=query):
                return await self._search(query)
            case OpenArguments(document=document, start=start):
                return await self._open(document, start)
            case ListArguments(containing=containing, start=start):
                return await self._list(containing, start)
        raise AssertionError(f"no tool takes {type(arguments).__name__}")

    async def _search(self, query: str) -> _Brought:
        asked = self._question
        wanted = Question(text=query, caller=asked.caller, limit=min(asked.limit, _MOST_FOUND), filter=asked.filter)
        found = (await retrieve(self._engine, wanted)).passages
        passages = tuple(self._numbered(each.passage, each.candidate) for each in found)
        return _Brought(passages=passages, note="" if found else "nothing found", found=len(passages))

    async def _open(self, named_so: str, start: int) -> _Brought:
        store, asked = self._engine.store, self._question
        narrowing = await narrow(store, asked.caller, asked.filter)
        found = await parts(store, asked.caller, self._document(named_so), narrowing, start=start, limit=_MOST_PARTS)
        if not found and start == 0:
            raise NotFound("no such document")
        passages = tuple(self._numbered(each, _unranked(each)) for each in found)
        more = f"to read on: start={found[-1].key.ordinal + 1}" if len(found) == _MOST_PARTS else "the end"
        return _Brought(passages=passages, note=more, found=len(passages))

    async def _list(self, containing: str, start: int) -> _Brought:
        store, asked = self._engine.store, self._question
        narrowing = await narrow(store, asked.caller, asked.filter)
        found = await documents(store, asked.caller, narrowing, containing=containing, start=start, limit=_MOST_LISTED)
        return _Brought(listed=found, note="\n".join(map(_entry, found)) or "no documents", found=len(found))

    def _document(self, named_so: str) -> UUID:
        """The id of the document that the model names by a passage's number or by id. Raises `NotFound`."""
        for ranked in self._found:
            if str(ranked.number) == named_so:
                return ranked.passage.key.document_id
        try:
            return UUID(named_so)
        except ValueError:
            raise NotFound("no such document") from None

    def _numbered(self, passage: Passage, candidate: Candidate) -> RankedPassage:
        """The passage under the number it has, or under the next where nothing found so far holds its text."""
        for ranked in self._found:
            if _holds(ranked.passage, passage):
                return ranked
        self._found.append(RankedPassage(number=len(self._found) + 1, passage=passage, candidate=candidate))
        return self._found[-1]


def _holds(passage: Passage, other: Passage) -> bool:
    same = passage.key.document_id == other.key.document_id and passage.version == other.version
    return same and passage.char_start <= other.char_start and other.char_end <= passage.char_end


def _unranked(passage: Passage) -> Candidate:
    return Candidate(key=passage.key, dense_rank=None, lexical_rank=None, cosine=0.0, bm25=0.0, score=0.0)


def _entry(listed: Listed) -> str:
    title, uri = attribute(listed.title[:_LONGEST_NAME]), attribute(listed.uri[-_LONGEST_NAME:])
    return f'<document id="{listed.document_id}" title="{title}" address="{uri}"/>'


def _refused(tool: str, arguments: Arguments | None, number: int, code: str, reason: str) -> Used:
    written = arguments.model_dump_json() if arguments else "{}"
    return Used(
        call=ToolCall(name=tool, arguments=written),
        result=ToolResult(note=f"refused: {harmless(reason)}"),
        step=StepTaken(
            number=number, tool=tool, arguments=arguments.model_dump() if arguments else {}, found=0, refused=code
        ),
    )
