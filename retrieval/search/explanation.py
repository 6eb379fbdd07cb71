"""What an explanation is made of: a search's trace, and what is said about it."""

from dataclasses import dataclass

from retrieval.domain import Retrieval
from retrieval.search.fusion import FusedPassage
from retrieval.search.legs import DenseFindings, LexicalFindings


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A search with all it met on its way: `fused` and `ranked` are its candidates before and after the reranker."""

    retrieval: Retrieval
    dense: DenseFindings | None
    lexical: LexicalFindings
    fused: tuple[FusedPassage, ...]
    ranked: tuple[FusedPassage, ...]
