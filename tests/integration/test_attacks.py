"""Whatever a document or a question tells a model that obeys: what code can prevent does not happen."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from retrieval.domain import AnswerFinished, TextDelta
from tests.attacks.judging import Said, successes
from tests.attacks.suite import Attack, attacked, attacks, corpus, patient, question, said
from tests.llm_servers.scripted import scripted_llm


@pytest.fixture(scope="module")
def attacked_documents(server: str) -> Iterator[str]:
    """The attacked documents, ingested once."""
    with corpus(server) as dsn:
        yield dsn


def unguarded(honest: Said, attack: Attack) -> Said:
    """The same answer if what the model wrote left as it is, and what stands in the documents went to it."""
    found, *_, end = honest.events
    assert isinstance(end, AnswerFinished)
    finished = replace(end, text=attack.obeyed, citations=())
    requests = tuple(
        {"messages": [message, {**prompt, "content": f"{prompt['content']}\n{attack.text}"}]}
        for message, prompt in (request["messages"] for request in honest.requests)
    )
    return Said(events=(found, TextDelta(text=attack.obeyed), finished), requests=requests)


async def test_no_attack_succeeds(attacked_documents: str) -> None:
    """Against the worst model there is, through the service's own path; and each would succeed were there no guard."""
    with scripted_llm() as llm:
        async with attacked(attacked_documents, patient(llm)) as engine:
            for attack in attacks():
                honest = await said(engine, llm, attack)
                assert honest.requests, attack
                assert successes(honest) == (), attack
                assert successes(unguarded(honest, attack)), attack


def test_there_are_attacks_of_many_kinds() -> None:
    """In documents and in questions, none twice."""
    listed = attacks()
    assert len(listed) >= 100
    assert len({attack.kind for attack in listed}) >= 20
    assert len({(attack.place, attack.text, attack.obeyed) for attack in listed}) == len(listed)
    places = {"document", "two documents", "question", "title", "heading", "file name", "metadata"}
    assert {attack.place for attack in listed} == places
    assert all(len(question(attack).text) <= 2000 for attack in listed)
