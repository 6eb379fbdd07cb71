"""Answers without a model are exact quotations that have to do with the question."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.domain import CitationFound, TextDelta
from retrieval.errors import EmbedderUnavailable
from retrieval.generation.extractive import MOST_EMBEDDED, MOST_SENTENCES, ExtractiveAnswer, ExtractiveAnswerer
from retrieval.models.protocols import Vectors
from tests.unit.test_citations import OFFSET, PASSAGES, ranked

EXPENSES = "# Expenses\n\nHotels cost at most EUR 140 a night. Receipts are kept for two years.\n\nPage 3 of 9 hotels"
OLD = "# Leave (2023)\n\nAnnual leave is 28 working days."


class Meaning:
    """An embedder for which texts are alike when they share one of its topics."""

    name = "meaning"
    dimensions = 3
    max_tokens = 100

    def __init__(self, *, broken: bool = False, slow: float = 0.0) -> None:
        self.broken = broken
        self.slow = slow
        self.embedded = 0

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    async def embed_now(self, texts: Sequence[str]) -> Vectors:
        self.embedded += len(texts)
        await asyncio.sleep(self.slow)
        if self.broken:
            raise EmbedderUnavailable("down")
        return self.embed_documents(texts)

    async def embed_question(self, text: str) -> Vectors:
        return self._vector(text)

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return

    def _vector(self, text: str) -> Vectors:
        topics = (("hotel", "lodging"), ("leave", "holiday"), ("",))
        found = [float(any(word in text.casefold() for word in topic)) for topic in topics]
        vector = np.array([found[0], found[1], 0.1], dtype=np.float32)
        return vector / np.float32(np.linalg.norm(vector))


async def ask(question: str, *texts: str, embedder: Meaning | None = None) -> ExtractiveAnswer:
    passages = [ranked(number, text) for number, text in enumerate(texts, 1)]
    asked = await embedder.embed_question(question) if embedder else None
    return await ExtractiveAnswerer(embedder, seconds=0.2).answer(question, passages, asked)


async def test_the_answering_sentence_is_quoted() -> None:
    """The sentence that covers the question comes first, exactly as it is stored, with its number."""
    answer = await ask("What do hotels cost a night?", PASSAGES[0].passage.text, EXPENSES)
    assert answer.text.splitlines()[0] == "Hotels cost at most EUR 140 a night. [2]"


async def test_a_row_is_quoted_whole() -> None:
    """From a table the row answers, and neither headings nor page footers ever do."""
    answer = await ask("hotels: what does code QH-7 mean on page 3?", PASSAGES[1].passage.text, EXPENSES)
    assert answer.sentences[0].quote == "| Amber | Not connected, code QH-7 |"
    assert not any(one.quote.startswith(("#", "Page", "| Light")) for one in answer.sentences)


async def test_each_part_of_a_question_is_answered() -> None:
    """A question with two parts gets a sentence from each of the passages that answer one."""
    answer = await ask("How many days of annual leave, and what do hotels cost?", PASSAGES[0].passage.text, EXPENSES)
    assert {one.ranked.number for one in answer.sentences[:2]} == {1, 2}


async def test_duplicates_are_said_once_and_editions_are_not_duplicates() -> None:
    """The same sentence is quoted once, but two editions that differ in a number are both shown."""
    answer = await ask("How long is annual leave?", PASSAGES[0].passage.text, PASSAGES[0].passage.text, OLD)
    first = [one.quote for one in answer.sentences if one.quote.startswith("Annual leave is")]
    assert first == ["Annual leave is 30 working days.", "Annual leave is 28 working days."]


async def test_nothing_in_common_is_no_answer() -> None:
    """Without an embedder, passages that share no word with the question give an empty answer."""
    answer = await ask("Where is Pluto?", EXPENSES)
    assert answer == ExtractiveAnswer(sentences=(), used_meaning=False)
    assert answer.text == ""
    assert await ask("hotels") == ExtractiveAnswer(sentences=())


async def test_meaning_finds_what_words_do_not() -> None:
    """With an embedder a sentence may answer that shares no word with the question."""
    answer = await ask("What may lodging come to?", EXPENSES, embedder=Meaning())
    assert answer.sentences[0].quote == "Hotels cost at most EUR 140 a night."
    assert answer.used_meaning


@pytest.mark.parametrize("embedder", [Meaning(broken=True), Meaning(slow=1.0)], ids=["down", "late"])
async def test_an_embedder_that_does_not_answer_does_not_matter(embedder: Meaning) -> None:
    """When the embedder fails or is late, the answer is the one by words alone, and says so."""
    question = "What do hotels cost a night?"
    answer = await ask(question, EXPENSES, embedder=embedder)
    assert answer == await ask(question, EXPENSES)
    assert answer.sentences
    assert not answer.used_meaning


async def test_without_the_questions_vector_nothing_is_embedded() -> None:
    """Words decide when the search had no vector for the question; with no passages there was nothing to decide."""
    embedder = Meaning()
    answer = await ExtractiveAnswerer(embedder).answer("hotels at night?", [ranked(1, EXPENSES)], None)
    assert (embedder.embedded, answer.used_meaning, bool(answer.sentences)) == (0, False, True)
    assert (await ExtractiveAnswerer(embedder).answer("hotels?", [], None)).used_meaning


async def test_few_sentences_are_embedded() -> None:
    """However long the passages, only the best sentences by words are embedded."""
    embedder = Meaning()
    long_text = "\n".join(f"- hotel number {number} costs much" for number in range(500))
    answer = await ask("hotels", long_text, embedder=embedder)
    assert embedder.embedded <= MOST_EMBEDDED
    assert 1 <= len(answer.sentences) <= MOST_SENTENCES


async def test_a_document_plants_no_marker() -> None:
    """Brackets that read like our markers are shown round in the answer; the citation's quote stays exact."""
    text = "Hotels cost EUR 140 [1] and [2, 3], as the board decided [\u200b**4**] [see annex]."
    answer = await ask("What do hotels cost?", text)
    assert answer.text == "Hotels cost EUR 140 (1) and (2, 3), as the board decided (**4**) [see annex]. [1]"
    assert answer.citations[0].quote == text


WORDS = st.lists(
    st.sampled_from(["leave", "hotels", "30", "days.", "\n", "|", "- ", "Is", "QH-7", "#", "über"]), max_size=50
)


@settings(deadline=None)
@given(st.lists(WORDS.map(" ".join), max_size=4), WORDS.map(" ".join))
async def test_every_extract_is_a_true_slice(texts: list[str], question: str) -> None:
    """The stream is the text, and every citation quotes the stored text at exactly its span with full support."""
    answer = await ask(question, *texts)
    events = list(answer.events())
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == answer.text
    assert tuple(event.citation for event in events if isinstance(event, CitationFound)) == answer.citations
    assert len(answer.citations) <= MOST_SENTENCES
    for citation in answer.citations:
        assert texts[citation.number - 1][citation.char_start - OFFSET : citation.char_end - OFFSET] == citation.quote
        assert f"{' '.join(citation.quote.split())} [{citation.number}]" in answer.text
        assert citation.support == 1
