"""Judges by script: what they read in a request, and verdicts of every kind."""

import json
from collections.abc import Callable
from typing import Any

from tests.llm_servers.scripted import Script, answer

Reading = dict[str, Any]
Grading = Callable[[Reading], dict[str, Any]]


def shown_to(request: dict[str, Any]) -> Reading:
    """The submission in a request to a judge, read back from its one line of JSON."""
    content: Reading = json.loads(request["messages"][1]["content"].split("\n")[0])
    return content


def by(grading: Grading) -> Callable[[dict[str, Any]], Script]:
    """A judge that grades each submission so."""
    return lambda request: answer(json.dumps(grading(shown_to(request))), usage=(100, 20))


def generous(shown: Reading) -> dict[str, Any]:
    """Everything is fine."""
    return verdict(shown, supported="yes", support="supports", relevance=4)


def literal(shown: Reading) -> dict[str, Any]:
    """A sentence is founded when a passage says it word for word, a citation when its words are the sentence's."""
    text = " ".join(" ".join(passage["text"].split()) for passage in shown["passages"])
    said = " ".join(" ".join(sentence["text"].split()) for sentence in shown["answer"])
    found = {
        "sentences": [
            {"sentence": each["sentence"], "supported": "yes" if _bare(each["text"]) in text else "no"}
            for each in shown["answer"]
        ],
        "citations": [
            {"citation": each["citation"], "support": "supports" if " ".join(each["quote"].split()) in said else "not"}
            for each in shown["citations"]
        ],
    }
    return {"reason": "word for word", **found, "relevance": 4}


def verdict(shown: Reading, *, supported: str, support: str, relevance: int) -> dict[str, Any]:
    """The same grade for every sentence and every citation."""
    return {
        "reason": "by script",
        "sentences": [{"sentence": each["sentence"], "supported": supported} for each in shown["answer"]],
        "citations": [{"citation": each["citation"], "support": support} for each in shown["citations"]],
        "relevance": relevance,
    }


def _bare(sentence: str) -> str:
    return " ".join(sentence.split("[")[0].split())
