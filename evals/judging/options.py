"""What a run is told of its judge: who, how to reach it, how much it may be asked, what must hold."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import HttpUrl, TypeAdapter, ValidationError

from evals.judging.verdict import Dimension
from retrieval.endpoints import EndpointSettings
from retrieval.errors import InputError
from retrieval.settings import LlmSettings

KEY_VARIABLE = "PINCITE_JUDGE_API_KEY"
"""A key on a command line would be read by everybody who may list processes."""
_MAX_OUTPUT_TOKENS = 4000
_TOKEN_TIMEOUT, _DEADLINE = 60.0, 180.0  # seconds; a judge may think before its first word


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """`gates`: the least mean by dimension; none by default, for a judge's word fails no run unasked."""

    endpoint: EndpointSettings
    max_calls: int
    verdicts: Path
    gates: Mapping[Dimension, float]

    def notes(self, writers: str) -> tuple[str, ...]:
        """What to mind of this judge, where the answers were written by these models."""
        if self.endpoint.model not in writers.split(", "):
            return ()
        return ("the judge wrote these answers itself, and models are kind to their own words",)


def judge_options(
    model: str | None, url: str | None, max_calls: int, verdicts: Path, gates: Iterable[str]
) -> JudgeOptions | None:
    """None without a model. Raises `InputError` for what only makes sense with one, and for gates that are none."""
    written = list(gates)
    if model is None:
        if url is not None or written:
            raise InputError("--judge-url and --judge-gate need --judge-model")
        return None
    return JudgeOptions(
        endpoint=_endpoint(model, url), max_calls=max_calls, verdicts=verdicts, gates=dict(map(_gate, written))
    )


def judge_settings(settings: LlmSettings) -> LlmSettings:
    """The service's own settings towards a language model, with a judge's patience and room to write."""
    return settings.model_copy(
        update={"max_output_tokens": _MAX_OUTPUT_TOKENS, "token_timeout": _TOKEN_TIMEOUT, "deadline": _DEADLINE}
    )


def _endpoint(model: str, url: str | None) -> EndpointSettings:
    key = KEY_VARIABLE if os.environ.get(KEY_VARIABLE) else None
    try:
        if url is not None:
            TypeAdapter(HttpUrl).validate_python(url)
        return EndpointSettings(name="judge", model=model, base_url=url, api_key_env=key)
    except ValidationError as error:
        # Without the input: a URL may hold a password.
        first = error.errors(include_input=False)[0]
        raise InputError(f"--judge-model or --judge-url: {first['msg']}") from None


def _gate(written: str) -> tuple[Dimension, float]:
    name, _, least = written.partition("=")
    try:
        gate = Dimension(name.strip()), float(least)
    except ValueError:
        gate = None
    if gate is None or not 0 <= gate[1] <= 1:
        names = ", ".join(Dimension)
        raise InputError(f"--judge-gate {written!r}: write a name and a number from 0 to 1 ({names}), groundedness=.9")
    return gate
