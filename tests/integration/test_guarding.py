"""Guards on the service's own path: what leaves it, and what the provider is shown."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from ingest.sources import Request
from retrieval.access import caller
from retrieval.answering import answer
from retrieval.domain import AnswerEvent, AnswerFailed, AnswerFinished, PassagesFound, Question, TextDelta
from retrieval.engine import Engine, open_engine
from retrieval.settings import CacheSettings, GuardSettings
from tests.conftest import ingest_folder, new_database, on_database
from tests.fakes import WordEmbedder
from tests.llm_servers import scripted
from tests.llm_servers.scripted import ScriptedLlm, scripted_llm

KEY = "AKIA" + "IOSFODNN7EXAMPLE"
ADA = "ada.lovelace@acme.example"
PUMP = f"Ada Lovelace oils the red pump, write to {ADA} about it. The pump's access key is {KEY} for now."


@pytest.fixture(scope="module")
def pumps(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A document with an address and a credential in it."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "pump.md").write_text(f"# Pumps\n\n{PUMP}\n")
    for dsn in new_database(server):
        ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(folder / "pump.md",), acl=frozenset({"everyone"})))
        yield dsn


@asynccontextmanager
async def opened(dsn: str, guard: GuardSettings, llm: ScriptedLlm | None = None) -> AsyncIterator[Engine]:
    settings = replace(on_database(dsn), guard=guard)
    if llm is not None:
        settings = replace(settings, llm=llm.settings(ask_from=0.0))
    async with open_engine(settings, embedder=WordEmbedder()) as engine:
        yield engine


async def told(engine: Engine, text: str) -> list[AnswerEvent]:
    return [event async for event in answer(engine, Question(text=text, caller=caller("acme", ()), limit=5))]


def finished(events: list[AnswerEvent]) -> AnswerFinished:
    end = events[-1]
    assert isinstance(end, AnswerFinished), end
    return end


async def test_a_quoted_answer_is_guarded_too(pumps: str) -> None:
    """Without an LLM a sentence with a credential leaves without it; its citation points at the whole of it."""
    async with opened(pumps, GuardSettings()) as engine:
        end = finished(await told(engine, "What is the red pump's access key?"))
        assert 'pincite_guarded_total{what="secrets"} 1.0' in engine.telemetry.exposition().decode()
    assert KEY not in end.text + str(end.citations)
    assert end.guarded.secrets == 1
    (redacted,) = [citation for citation in end.citations if citation.redacted]
    assert redacted.char_end - redacted.char_start > len(redacted.quote) - len("[secret removed]") + len(KEY) - 1


async def test_an_operator_may_let_credentials_pass(pumps: str) -> None:
    """Where the documents are about them."""
    async with opened(pumps, GuardSettings(secrets="off")) as engine:
        end = finished(await told(engine, "What is the red pump's access key?"))
    assert KEY in end.text
    assert not any(citation.redacted for citation in end.citations)


async def test_the_provider_sees_placeholders_and_the_answer_holds(pumps: str) -> None:
    """Question and passages go out masked; the answer is cited against the text as it is stored."""
    with scripted_llm(scripted.answer('It says "write to [EMAIL-1] about it" [1].')) as llm:
        async with opened(pumps, GuardSettings(provider_pii="mask"), llm) as engine:
            end = finished(await told(engine, f"Who oils the red pump, {ADA}?"))
        assert ADA not in json.dumps(llm.requests)
        assert json.dumps(llm.requests, ensure_ascii=False).count("⟦email-1⟧") == 2
    assert end.text == f'It says "write to {ADA} about it" [1].'
    assert [citation.quote for citation in end.citations] == [f"write to {ADA} about it"]


async def test_nothing_half_seen_leaves_when_the_model_is_cut_off(pumps: str) -> None:
    """A stream that breaks inside a credential or a link has given no part of it."""
    for written, forbidden in ((f"The key is {KEY[:12]}", "AKIA"), ("See ![x](https://evil.example/?d=", "evil")):
        with scripted_llm(scripted.cut_midway(written)) as llm:
            async with opened(pumps, GuardSettings(), llm) as engine:
                events = await told(engine, "What is the red pump's access key?")
        assert isinstance(events[-1], AnswerFailed)
        assert forbidden not in "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_what_was_found_is_shown_as_it_is_stored(pumps: str) -> None:
    """Passages are the documents themselves, which the asker may read: offsets count in them."""
    async with opened(pumps, GuardSettings(pii="redact")) as engine:
        events = await told(engine, "Who oils the red pump?")
    found = events[0]
    assert isinstance(found, PassagesFound)
    assert KEY in found.retrieval.passages[0].passage.text
    assert ADA not in finished(events).text


async def test_an_answer_with_something_taken_out_is_shared_and_kept_like_any_other(pumps: str) -> None:
    """A crowd is one generation, and who asks later has it from the cache: the same quote, the same count."""
    with scripted_llm(scripted.slow_drip(f"The pump's access key is {KEY} for now [1].", pause=0.2)) as llm:
        async with opened(pumps, GuardSettings(), llm) as engine:
            engine.settings = replace(engine.settings, cache=CacheSettings())
            question = "What is the red pump's access key?"
            crowd = [finished(events) for events in await asyncio.gather(*(told(engine, question) for _ in range(4)))]
            later = finished(await told(engine, question))
        assert len(llm.requests) == 1
    assert sorted(end.cache for end in crowd) == ["miss", "shared", "shared", "shared"]
    assert later.cache == "exact"
    assert {(end.text, end.citations, end.guarded) for end in crowd} == {(later.text, later.citations, later.guarded)}
    assert later.citations[0].redacted
    assert KEY not in later.text + str(later.citations)
