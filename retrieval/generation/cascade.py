"""Which tier of models is asked: rules that can be told in a sentence each, and that no model decides.

A question starts at the small tier unless one of five signs speaks for the large one. The small tier's answer goes
on to the large one when a check of ours fails. Asked too high costs money; asked too low costs a second call, for the
check finds it: so the signs are few, and the checks strict. The numbers are measured by evals.benchmarks.routing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.domain import Citation, Retrieval, Tier, TierReason

LONG_QUESTION = 30
"""Words. The golden questions have at most 22, median 11: what is longer brings a story or several conditions."""

POOR_FIT = 0.2
"""Confidence. An LLM is asked from .15 (`llm.ask_from`); up to here the passages share little with the question."""

GOOD_FIT = 0.4
"""Confidence from which "I do not know" is doubted: of the golden questions there, 94.5 % have an answer."""

LOW_SUPPORT = 0.34
"""Support of the best citation: a third of its claim's content words. By chance 4.8 % of passages that do not answer
support a golden answer's words as much, but 21 % as much as keeps a citation (.2, `SUPPORT_FLOOR`): between the two it
may be a paraphrase, and a second reader costs only money."""

_COMPARISON = re.compile(
    r"\b(?:compar\w*|differ(?:s|ed|ence\w*|ent(?:ly)?)?|versus|vs|contrast\w*|(?:dis)?advantages?|pros and cons"
    r"|list (?:all|every|each)|all (?:the|of)|(?:summari[sz]e|summary|overview)"
    r"|vergleich\w*|unterscheide\w*|unterschied\w*|gegenüber|vorteile?|nachteile?"
    r"|(?:alle|sämtliche) \w+ auf|auflist\w*|zusammenfass\w*|fasse .{0,60}zusammen|überblick)\b",
    re.IGNORECASE,
)
_EXPLANATION = re.compile(
    r"\b(?:why|what (?:causes?|happens|led)|how (?:do(?:es)?|did|can|could|should|would|is|are|was|were|to|come)"
    r"|explain\w*|reasons?|warum|wieso|weshalb|weswegen|wie (?:funktioniert|wird|werden|kann|können|läuft|kommt|geht)"
    r"|erklär\w*|begründ\w*|was passiert|wozu)\b",
    re.IGNORECASE,
)
_DECLINED = re.compile(
    r"\b(?:(?:do|does|did|can|could)(?: not|n[’']t)|cannot|can[’']t|unable to)\b.{0,60}"
    r"\b(?:know|answer|find|say|tell|determine|mention|contain|specify|state|provide|include)"
    r"|\bno (?:information|mention|answer)\b|\bnot (?:mentioned|specified|stated|given|available|contained|covered)\b"
    r"|\b(?:weiß|kann|enthalten|enthält|steht|finde|geht|nennen|nennt|beantworten)\b.{0,60}\b(?:nicht|nichts|keine?)\b"
    r"|\bkeine (?:angaben?|informationen?|antwort)\b",
    re.IGNORECASE | re.DOTALL,
)
_LONGEST_DECLINE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a question starts, why, and how well its passages fit."""

    tier: Tier
    reason: TierReason
    confidence: float


def route(question: str, retrieval: Retrieval, *, tools: bool = False) -> Route:
    """The first sign that speaks for the large tier, else the small one."""
    found = TierReason.ROUTED_TOOLS if tools else _sign(question, retrieval)
    tier: Tier = "small" if found is TierReason.ROUTED_SIMPLE else "large"
    return Route(tier=tier, reason=found, confidence=retrieval.confidence)


def _sign(question: str, retrieval: Retrieval) -> TierReason:
    if len(question.split()) > LONG_QUESTION:
        return TierReason.ROUTED_LONG
    if len(re.findall(r"[?？](?:\s|$)", question)) > 1:
        return TierReason.ROUTED_SEVERAL_QUESTIONS
    if _COMPARISON.search(question):
        return TierReason.ROUTED_COMPARISON
    if _EXPLANATION.search(question):
        return TierReason.ROUTED_EXPLANATION
    return TierReason.ROUTED_LOW_CONFIDENCE if retrieval.confidence < POOR_FIT else TierReason.ROUTED_SIMPLE


def convinces(citation: Citation) -> bool:
    """Whether this citation alone lets a small model's words out."""
    return citation.support >= LOW_SUPPORT


def doubt(citations: Sequence[Citation], confidence: float, *, declined: bool) -> TierReason | None:
    """Why a small model's whole answer is not good enough; None where it is.

    A small model that says it does not know is believed where the passages fit badly: a large one would say it too.
    """
    if any(map(convinces, citations)):
        return None
    if citations:
        return TierReason.ESCALATED_LOW_SUPPORT
    if declined:
        return TierReason.ESCALATED_DECLINED if confidence >= GOOD_FIT else None
    return TierReason.ESCALATED_NO_CITATION


def declines(text: str) -> bool:
    """Whether the text says that it does not know: short, and in so many words."""
    return len(text) <= _LONGEST_DECLINE and _DECLINED.search(text) is not None
