"""An explanation as people read it in a terminal, and as programs do."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from retrieval.domain import DensePath
from retrieval.search.explanation import (
    CandidateExplained,
    DenseExplained,
    DocumentExplained,
    Examined,
    Explanation,
    LegReason,
    LegStanding,
    LexicalExplained,
    Verdict,
)

_VERDICTS = {
    Verdict.NOT_FOUND: "there is no such document in this tenant",
    Verdict.NOT_VISIBLE: "it is there, but none of these principals may see it",
    Verdict.FILTERED: "none of its chunks matches the filter",
    Verdict.NOT_PROPOSED: "neither leg proposed any of its chunks",
    Verdict.CUT_BY_LIMIT: "it was a candidate, but others were better",
    Verdict.CUT_BY_RERANKER: "it stood within the limit until the reranker put others before it",
    Verdict.SAYS_THE_SAME: "a passage that says the same was found, and names it",
    Verdict.FOUND: "it is among the passages",
}
_REASONS = {
    LegReason.PROPOSED: "proposed",
    LegReason.BELOW_CANDIDATES: "not proposed: too many chunks are better",
    LegReason.MISSED_BY_WALK: "not proposed: the walk through the vector index missed it",
    LegReason.NO_WORD: "not proposed: it holds none of the question's words",
    LegReason.NO_WORD_LOOKED_UP: "not proposed: it holds only words too common to be looked up",
    LegReason.NOT_ALL_WORDS: "not proposed: the words are common, so only chunks with all of them are",
}


def as_json(explanation: Explanation) -> str:
    """All of it, but for the question's vector."""
    fields = asdict(explanation)
    del fields["retrieval"]["embedding"]
    return json.dumps(fields, ensure_ascii=False, indent=2, default=str)


def show(explanation: Explanation) -> None:
    """Prints it to the terminal: the passages, each leg, the times, and the named document."""
    # What stands in documents and questions is text, not rich's markup.
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(_candidates(f"passages (at most {explanation.limit})", explanation.passages))
    console.print(_dense_line(explanation.dense))
    console.print(_lexical_line(explanation.lexical))
    console.print(_words(explanation.lexical))
    timings = explanation.retrieval.timings_ms
    console.print("time: " + " · ".join(f"{stage} {milliseconds:.1f} ms" for stage, milliseconds in timings.items()))
    if explanation.retrieval.degraded:
        console.print(f"degraded: {', '.join(explanation.retrieval.degraded)}")
    if explanation.document is not None:
        _show_document(console, explanation.document)


def _show_document(console: Console, document: DocumentExplained) -> None:
    console.print(f"\n{document.named}: {_VERDICTS[document.verdict]}")
    for leg, standing in (("meaning", document.dense), ("words", document.lexical)):
        if standing is not None:
            console.print(f"  by {leg}: {_standing_line(standing)}")
    if document.candidates:
        console.print(_candidates("its candidates", document.candidates))


def _candidates(title: str, candidates: Sequence[CandidateExplained]) -> Table:
    table = Table(title=f"{title}: place or rank, score", title_justify="left")
    table.add_column("place", justify="right")
    table.add_column("chunk", overflow="fold")
    for column in ("by meaning", "by words", "fused", "reranked"):
        table.add_column(column, justify="right")
    for found in candidates:
        candidate, reranked = found.candidate, found.rerank_score
        table.add_row(
            str(found.place),
            f"{found.uri} #{candidate.key.ordinal}",
            f"{_or_dash(candidate.dense_rank)}  {candidate.cosine:.3f}",
            f"{_or_dash(candidate.lexical_rank)}  {candidate.bm25:.3f}",
            f"{found.fused_place}  {candidate.score:.3f}",
            "-" if reranked is None else f"{reranked:.3f}",
        )
    return table


def _words(lexical: LexicalExplained) -> Table:
    table = Table(title="words of the question", title_justify="left")
    for column in ("word", "language", "idf", "chunks", "looked up"):
        table.add_column(column, justify="right" if column in {"idf", "chunks"} else "left")
    languages = {word.language for word in lexical.words if word.chunk_count}
    for word in lexical.words:
        if languages and word.language not in languages:
            continue  # one that reads nothing it knows says nothing
        table.add_row(word.word, word.language, f"{word.idf:.2f}", f"{word.chunk_count:,}", word.looked_up or "-")
    return table


def _dense_line(dense: DenseExplained | None) -> str:
    if dense is None:
        return "by meaning: not searched"
    plan = dense.plan
    about = "" if plan.counted else "about "
    width = "" if plan.path is DensePath.EXACT else f", ef_search {plan.ef_search}"
    return (
        f"by meaning: {plan.path}{width}, {about}{plan.matching_chunks:,} of {plan.tenant_chunks:,} chunks in question;"
        f" {dense.proposed} proposed, {_read(dense.examined)}"
    )


def _lexical_line(lexical: LexicalExplained) -> str:
    return f"by words: {lexical.path}; {lexical.proposed} proposed, {_read(lexical.examined)}"


def _read(examined: Examined) -> str:
    return f"{examined.rows:,} rows examined, {examined.pages:,} pages"


def _standing_line(standing: LegStanding) -> str:
    rank = "rank not counted" if standing.rank is None else f"rank {standing.rank:,}"
    held = f" (holds: {', '.join(standing.words)})" if standing.words else ""
    return f"chunk #{standing.ordinal}, score {standing.score:.3f}, {rank}; {_REASONS[standing.reason]}{held}"


def _or_dash(rank: int | None) -> str:
    return "-" if rank is None else str(rank)
