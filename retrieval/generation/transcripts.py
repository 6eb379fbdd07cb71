"""What was said to a model and by it, for those who may read it: without credentials and personal data."""

import json

from retrieval.generation.prompting import Prompt
from retrieval.guarding.redacting import patterns_of, redact


def of_prompt(prompt: Prompt) -> str:
    """The prompt in the form of OpenTelemetry's `gen_ai.input.messages`, redacted."""
    return _messages(*((message["role"], message.get("content") or "") for message in prompt.messages))


def of_answer(text: str) -> str:
    """The answer in the form of `gen_ai.output.messages`, redacted."""
    return _messages(("assistant", text))


def _messages(*turns: tuple[str, str]) -> str:
    patterns = patterns_of(secrets=True, pii=True)
    parts = [(role, redact(text, patterns).text) for role, text in turns]
    return json.dumps(
        [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in parts], ensure_ascii=False
    )
