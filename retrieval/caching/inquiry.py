"""What an answer depends on, as a key: two questions with the same one may be given the same answer."""

import hashlib
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from retrieval.access import Caller
from retrieval.caching.wording import is_lasting, normalised, telling_words
from retrieval.domain import Passage, Question, Retrieval
from retrieval.engine import Engine
from retrieval.generation.prompting import build_prompt

_RECIPE = "2"
"""To be raised when what is kept, or how it is read, changes: nothing kept before is then found."""
_UNDERSTOOD = frozenset({"text", "caller", "limit", "filter", "cache", "origin", "surroundings"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A question that may be shared. `key` stands for all that its answer depends on, `scope` for all but its wording
    and its passages: who asks, for what, of which models. Neither says anything to who does not know these.
    """

    caller: Caller
    retrieval: Retrieval
    scope: bytes
    key: bytes


def inquiry_of(engine: Engine, question: Question, retrieval: Retrieval) -> Inquiry | None:
    """None where an answer may neither be kept nor shared: opted out, personal, of the moment, or of a kind that this
    cache does not know. A field that `Question` is given later, such as a conversation, keeps questions out while it
    is set, until it is named here."""
    text = normalised(question.text)
    may_be = engine.settings.cache.enabled and question.cache and _understood(question) and is_lasting(text)
    if not (may_be and retrieval.passages):
        return None
    guard = engine.settings.guard.model_dump_json()
    # And one generation of the index: vectors that two embedders made of questions do not compare.
    models = (
        engine.llm.name if engine.llm else "",
        engine.settings.llm.model_dump_json(),
        guard,
        engine.store.generation_id,
    )
    prompt = build_prompt(text, retrieval.passages)
    asked = (question.limit, question.filter, question.surroundings.value)
    asker = (question.caller.tenant, sorted(question.caller.principals))
    scope = _digest(_RECIPE, models, asker, asked, prompt.system, telling_words(text))
    key = _digest(scope, prompt.user, [identity(ranked.passage) for ranked in retrieval.passages])
    return Inquiry(caller=question.caller, retrieval=retrieval, scope=scope, key=key)


def identity(passage: Passage) -> str:
    """The same for the same words at the same place of the same version, whatever its number."""
    place = (passage.key.document_id, passage.version, passage.char_start, passage.char_end)
    return _digest(place, passage.title, passage.heading_path, passage.first_page, passage.text).hex()


def _understood(question: Question) -> bool:
    return all(field.name in _UNDERSTOOD or _at_default(question, field) for field in fields(question))


def _at_default(question: Question, field: Field[Any]) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(getattr(question, field.name) == default)


def _digest(*parts: object) -> bytes:
    # Of strings, numbers, dates, and tuples and records of them: what they are written as says all there is to them.
    return hashlib.sha256(repr(parts).encode()).digest()
