"""What a judge is told. What it judges was written by others: it stands as JSON in the user's turn, never as orders.

JSON because no text inside a string can end the string, whatever delimiter it imitates.
"""

import hashlib
import json
from pathlib import Path

from evals.judging.submission import Submission
from retrieval.generation.prompting import Prompt, harmless

RUBRIC = (Path(__file__).parent / "rubric.md").read_text(encoding="utf-8")
RUBRIC_VERSION = f"{RUBRIC.split(maxsplit=2)[1]}-{hashlib.sha256(RUBRIC.encode()).hexdigest()[:8]}"
"""Its number and a digest of its words: other words are another version, also where the number stayed."""

_ORDER = "Grade this answer by the rubric. Reply with the JSON object alone."
_LONGEST_REPEATED = 4000


def build_prompt(submission: Submission) -> Prompt:
    """The rubric, and the submission as one JSON object on a line of its own, the last but one."""
    return Prompt(system=RUBRIC, user=f"{_as_json(_content(submission))}\n{_ORDER}")


def build_repair(prompt: Prompt, reply: str, problem: str) -> Prompt:
    """The same once more, with what was replied and what is wrong with it."""
    repeated = _as_json({"your_reply": _clean(reply[:_LONGEST_REPEATED])})
    return Prompt(
        system=prompt.system, user=f"{prompt.user}\n{repeated}\nThat reply cannot be used: {problem}\n{_ORDER}"
    )


def _content(submission: Submission) -> dict[str, object]:
    return {
        "question": _clean(submission.question),
        "passages": [
            {"passage": source.number, "title": _clean(source.title), "text": _clean(source.text)}
            for source in submission.sources
        ],
        "answer": [
            {"sentence": place, "text": _clean(sentence)} for place, sentence in enumerate(submission.sentences, 1)
        ],
        "citations": [
            {"citation": place, "passage": cited.number, "quote": _clean(cited.quote)}
            for place, cited in enumerate(submission.citations, 1)
        ],
    }


def _as_json(content: dict[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False)


def _clean(text: str) -> str:
    """Without chat control tokens, and without halves of characters, which no request can carry."""
    return harmless(text.encode("utf-8", "replace").decode())
