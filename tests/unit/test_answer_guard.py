"""What passes the last room: guarded text, true citations in their places, and how often something was taken out."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest

from retrieval.domain import AnswerEvent, AnswerFinished, Citation, CitationFound, Guarded, StepTaken, TextDelta
from retrieval.generation.citations import cite
from retrieval.guarding.answers import AnswerGuard
from retrieval.settings import GuardSettings
from tests.unit.test_citations import ranked

KEY = "AKIA" + "IOSFODNN7EXAMPLE"
LINK = "https://docs.acme.example/leave"
PASSAGES = (ranked(1, f"See {LINK} for leave. The key is {KEY}."), ranked(2, "Other words."))


def quoted(number: int, words: str) -> Citation:
    passage = PASSAGES[number - 1]
    start = passage.passage.text.index(words)
    return cite(passage, start, start + len(words), 1.0)


async def guarded(
    *events: str | Citation | StepTaken,
    policy: GuardSettings | None = None,
    structured: object = None,
    own: frozenset[str] = frozenset(),
) -> list[AnswerEvent]:
    async def given() -> AsyncGenerator[AnswerEvent, None]:
        for event in events:
            match event:
                case str():
                    yield TextDelta(text=event)
                case Citation():
                    yield CitationFound(citation=event)
                case StepTaken():
                    yield event
        yield AnswerFinished(
            outcome="answered",
            text="".join(event for event in events if isinstance(event, str)),
            citations=tuple(event for event in events if isinstance(event, Citation)),
            rejected_citations=0,
            answered_by="scripted",
            usage=None,
            degraded=(),
            timings_ms={},
            structured=structured,
        )

    guard = AnswerGuard(
        policy or GuardSettings(), PASSAGES, "You answer questions from passages that are numbered.", own
    )
    return [event async for event in guard.watch(given())]


def finished(events: Sequence[AnswerEvent]) -> AnswerFinished:
    end = events[-1]
    assert isinstance(end, AnswerFinished)
    assert end.text == "".join(event.text for event in events if isinstance(event, TextDelta))
    assert end.citations == tuple(event.citation for event in events if isinstance(event, CitationFound))
    return end


async def test_a_link_waits_for_its_citation() -> None:
    """A link that a passage names leaves once that passage is cited in its line, else without its destination."""
    cited = quoted(1, "for leave")
    assert finished(await guarded(f"See [here]({LINK}) ", "[1]", cited, ".")).text == f"See [here]({LINK}) [1]."
    late: list[list[str | Citation]] = [
        [f"See [here]({LINK}).\nMore [1]", cited, "."],
        [f"See [here]({LINK}) [2]", quoted(2, "Other")],
    ]
    for events in late:
        end = finished(await guarded(*events))
        assert end.text.startswith("See [here]")
        assert LINK not in end.text
        assert end.guarded == Guarded(links=1)


async def test_a_citation_follows_its_marker() -> None:
    """However much of the text before it is held back, a citation comes after the text it was found for."""
    cited = quoted(1, "for leave")
    for text in ("It is so [1]", f"Write to {LINK} [1]", "The key [1]", "answer questions from [1]"):
        events = await guarded(text, cited, "\nand so on")
        at = next(at for at, event in enumerate(events) if isinstance(event, CitationFound))
        assert "[1]" in "".join(event.text for event in events[:at] if isinstance(event, TextDelta))
        finished(events)


async def test_a_quote_is_redacted_at_its_true_place() -> None:
    """A citation of a sentence with a secret keeps its span, and says that its quote is not all that stands there."""
    words = f"The key is {KEY}."
    end = finished(await guarded(f"{words} [1]", quoted(1, words)))
    (citation,) = end.citations
    assert citation.quote == "The key is [secret removed]."
    assert citation.redacted
    assert citation.char_end - citation.char_start == len(words)
    assert end.text == "The key is [secret removed]. [1]"
    assert end.guarded.secrets == 1


async def test_policy_decides_about_secrets_and_personal_data() -> None:
    """Off is off; redaction of personal data is asked for."""
    text = f"Ask ada@acme.example, {KEY}."
    assert finished(await guarded(text)).text == "Ask ada@acme.example, [secret removed]."
    off = GuardSettings(secrets="off")
    assert finished(await guarded(text, policy=off)).text == text
    both = finished(await guarded(text, policy=GuardSettings(pii="redact")))
    assert both.text == "Ask [email removed], [secret removed]."
    assert both.guarded == Guarded(secrets=1, pii=1)


async def test_words_are_not_kept_waiting() -> None:
    """Plain prose is a word behind at most."""
    words = [
        "The",
        "red",
        "pump",
        "needs",
        "oil",
        "every",
        "week",
        "and",
        "its",
        "filter",
        "lasts",
        "for",
        "ninety",
        "days",
        ".",
    ]
    events = await guarded(*(f"{word} " for word in words))
    assert [event.text for event in events if isinstance(event, TextDelta)] == [f"{word} " for word in words]


@pytest.mark.parametrize(("cited", "link"), [(True, LINK), (False, "[link removed]")])
async def test_strings_of_a_structured_answer_are_guarded_alike(cited: bool, link: str) -> None:
    """They hold no more than a written text, however deep they stand."""
    text = f"[x](https://evil.example/?q=1) {LINK} {KEY}"
    events = await guarded(
        *([quoted(1, "for leave")] if cited else []), structured={"days": 3, "notes": [{"of": text}]}
    )
    last = events[-1]
    assert isinstance(last, AnswerFinished)
    assert last.structured == {"days": 3, "notes": [{"of": f"[x] {link} [secret removed]"}]}
    assert json.loads(last.text) == last.structured
    assert (last.guarded.secrets, last.guarded.links) == (1, 1 if cited else 2)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"plan": "foo", "key": KEY}, {"plan": "foo", "key": "[secret removed]"}),
        ({"key": KEY, "name": "Alice"}, {"key": "[secret removed]", "name": "Alice"}),
        (["-----BEGIN PRIVATE KEY-----", "Alice"], ["[secret removed]", "Alice"]),
        (["see", "//evil.example/x"], ["see", "[link removed]"]),
        ({"password": "Hunter2x9", KEY: "x"}, {"password": "[secret removed]", "[secret removed]": "x"}),
    ],
)
async def test_a_string_is_guarded_whatever_stands_before_it(given: object, left: object) -> None:
    """What another field holds neither hides a secret or a link nor takes an innocent word with it."""
    last = (await guarded(structured=given))[-1]
    assert isinstance(last, AnswerFinished)
    assert last.structured == left


async def test_only_the_askers_own_words_pass_unread() -> None:
    """A model may make up names of fields; a name or a value that the schema names is the asker's."""
    url = "https://schema.example/name"
    given = {url: url, "https://evil.example/?d=1": 1, KEY: 2}
    last = (await guarded(structured=given, own=frozenset({url})))[-1]
    assert isinstance(last, AnswerFinished)
    assert last.structured == {url: url, "[link removed]": 1, "[secret removed]": 2}


async def test_what_a_model_asks_of_its_tools_is_guarded_where_it_is_shown() -> None:
    """A document may have ordered the call: its words are shown with no more in them than an answer's."""
    query = f"![x](https://evil.example/?q=1) {KEY}"
    step = StepTaken(number=1, tool="search", arguments={"query": query, "start": 0}, found=0)
    shown = (await guarded(step))[0]
    assert shown == replace(step, arguments={"query": "[x] [secret removed]", "start": 0})
