"""What has come of an answer so far, chunk by chunk.

Where the model may call tools, its words are held back until they cite something or are all there: what it says before
a call is not the answer, and an answer that has begun is not taken back.
"""

import re

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk

from retrieval.domain import Usage
from retrieval.generation.packing import count_tokens
from retrieval.generation.prompting import Prompt
from retrieval.generation.tool_calls import CallsText, ToolCall
from retrieval.upstream.faults import Broken, Undecided, Withheld

_MOST_CHARACTERS_PER_TOKEN = 8
"""Twice what prose takes. Servers exist that ignore the token limit they are sent."""

_MOST_TEMPLATE_TOKENS = 1000
"""What a server's chat template may add to a prompt. No text has more tokens than bytes."""

_CITES = re.compile(r"\[\d")


class ReplyText:
    """`finished` once the model said so; `whole` also when it wrote more than it was allowed.

    `declined`: the server never took the request, or said no to it. `ended`: its stream came to an end.
    """

    def __init__(self, prompt: Prompt, max_output_tokens: int) -> None:
        self.prompt = prompt
        self.max_output_tokens = max_output_tokens
        self._max_characters = max_output_tokens * _MOST_CHARACTERS_PER_TOKEN
        self._half = ""
        self._told: CompletionUsage | None = None
        self._holding = bool(prompt.tools)
        self._held = ""
        self._calls = CallsText()
        self.text = ""
        self.finished = False
        self.declined = False
        self.ended = False

    @property
    def whole(self) -> bool:
        return self.finished or len(self.text) + self._calls.characters >= self._max_characters

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """What it asks of its tools instead of answering: `text` is then what it said before."""
        return self._calls.calls

    @property
    def usage(self) -> Usage:
        """The provider's own counts; estimated where it gave none, or such as cannot be."""
        if self._told is not None and self._may_be(self._told):
            told = self._told
            return Usage(prompt_tokens=told.prompt_tokens, completion_tokens=told.completion_tokens, estimated=False)
        return Usage(
            prompt_tokens=sum(map(count_tokens, self.prompt.texts)),
            completion_tokens=count_tokens(self.text) + sum(count_tokens(call.arguments) for call in self.calls),
            estimated=True,
        )

    @property
    def taken(self) -> Usage | None:
        """What the call took, also where it failed; None where it may be at work still, and nobody can say."""
        if self.declined:
            return Usage(prompt_tokens=0, completion_tokens=0, estimated=False)
        usage = self.usage
        known = self.text or self.calls or self.finished or self.ended or not usage.estimated
        return usage if known else None

    def take(self, chunk: ChatCompletionChunk) -> str:
        """The chunk's piece of text, possibly empty. Raises when the answer is withheld or done without a word."""
        self.note_usage(chunk)
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        content = (choice.delta.content if choice.delta else None) or ""
        whole = self._whole_characters(content, last=bool(choice.finish_reason))
        piece = whole[: self._max_characters - len(self.text)]
        self.text += piece
        if self._holding and choice.delta:
            self._calls.take(choice.delta.tool_calls or ())
        if choice.finish_reason == "content_filter":
            raise Withheld("the language model's provider withheld the answer")
        self.finished = bool(choice.finish_reason)
        if self.finished and not self.text and not self.calls:
            self._fail(choice.finish_reason)
        return self._released(piece)

    def note_usage(self, chunk: ChatCompletionChunk) -> None:
        # Some servers send it with every chunk, each time for all so far: the last one counts.
        self._told = chunk.usage or self._told

    def _fail(self, reason: str | None) -> None:
        # No breaker's matter: a model that thinks may need more tokens than a side task is given, and one that has read
        # "call a tool" may do so where there is none.
        short = self.prompt.most_tokens is not None and reason == "length"
        raise (Undecided if short or reason == "tool_calls" else Broken)("the language model gave an empty answer")

    def _released(self, piece: str) -> str:
        """What may be given on: nothing while it may still be followed, or was, by calls."""
        if not self._holding:
            return piece
        self._held += piece
        if self.calls or not (self.whole or _CITES.search(self._held)):
            return ""
        self._holding = False
        return self._held

    def _whole_characters(self, content: str, *, last: bool) -> str:
        """The text so far whole: servers cut emoji into surrogates. A first half waits, a half alone is `�`."""
        text = self._half + content
        self._half = text[-1:] if not last and "\ud800" <= text[-1:] <= "\udbff" else ""
        pairs = text[: len(text) - len(self._half)].encode("utf-16-le", "surrogatepass")
        return pairs.decode("utf-16-le", "replace")

    def _may_be(self, told: CompletionUsage) -> bool:
        counts = (getattr(told, "prompt_tokens", None), getattr(told, "completion_tokens", None))
        if not all(isinstance(count, int) and count >= 1 for count in counts):
            return False
        sent = sum(len(text.encode()) for text in self.prompt.texts)
        likely = told.prompt_tokens <= sent + _MOST_TEMPLATE_TOKENS
        return likely and told.completion_tokens <= max(self._max_characters, len(self.text))
