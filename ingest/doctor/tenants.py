"""What can be wrong within one tenant, and what mends it: a list, read from top to bottom.

The order is that of mending: what a later check counts, an earlier one has put right.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from ingest.doctor.findings import Finding, Severity
from ingest.doctor.patient import CHILDREN, SHARED_CHILDREN, SHARED_STATISTICS, STATISTICS, Patient
from retrieval.database.generations import Generation
from retrieval.models.protocols import Embedder

_FIX = "pincite doctor --fix"
Mending = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`look` counts what is wrong and says how to mend it, where that is safe; `mends` is what a person is told."""

    code: str
    severity: Severity
    what: str
    remedy: str
    look: Callable[[], tuple[int, Mending | None]]


def checks(patient: Patient) -> Iterator[Check]:
    """The checks of what a tenant has once, however many generations of the index there are."""
    by_documents = partial(_by_documents, patient)
    yield _orphans(patient, SHARED_CHILDREN)
    yield Check(
        code="wrong_grants", severity="error", what="documents under other principals than they allow", remedy=_FIX,
        look=lambda: by_documents("misgranted_documents", patient.grant_anew),
    )  # fmt: skip
    yield Check(
        code="wrong_fields", severity="error", what="documents that filters read wrongly", remedy=_FIX,
        look=lambda: by_documents("misdescribed_documents", patient.describe_anew),
    )  # fmt: skip
    yield from _statistics(patient, SHARED_STATISTICS)
    yield Check(
        code="shown_but_gone", severity="error", what="documents that are gone and stand in kept answers", remedy=_FIX,
        look=lambda: by_documents("shown_but_gone", patient.take_back),
    )  # fmt: skip
    yield Check(
        code="withdrawn_words", severity="error", what="pieces of withdrawn answers", remedy=_FIX,
        look=lambda: (patient.withdrawn_words(), patient.drop_withdrawn_words),
    )  # fmt: skip
    yield Check(
        code="expired", severity="info", what="kept answers and claims past their time by a day", remedy=_FIX,
        look=lambda: (patient.expired(), patient.sweep),
    )  # fmt: skip
    yield Check(
        code="unseen_documents", severity="info", what="documents that nobody may see",
        remedy="ingest them again with --allow, or delete them", look=lambda: by_documents("unseen_documents", None),
    )  # fmt: skip


def generation_checks(patient: Patient, generation: Generation, embedder: Embedder | None) -> Iterator[Check]:
    """The checks of what a tenant has in the patient's generation. Without an embedder, vectors are not mended."""
    by_documents = partial(_by_documents, patient)
    embed_anew = None if embedder is None else partial(_embed_anew, patient, embedder)
    yield _orphans(patient, CHILDREN)
    yield Check(
        code="chunk_counts", severity="error", what="documents with another number of chunks than they say",
        remedy=_FIX, look=lambda: by_documents("miscounted_documents", patient.count_anew),
    )  # fmt: skip
    yield Check(
        code="missing_words", severity="error", what="documents with chunks that no word finds", remedy=_FIX,
        look=lambda: by_documents("chunks_without_terms", patient.read_words),
    )  # fmt: skip
    yield Check(
        code="missing_embeddings", severity="error", what="documents with chunks that no meaning finds", remedy=_FIX,
        look=lambda: by_documents("chunks_without_embeddings", embed_anew),
    )  # fmt: skip
    yield Check(
        code="damaged_embeddings", severity="error", what="documents with vectors that compare with nothing",
        remedy=_FIX, look=lambda: by_documents("damaged_embeddings", embed_anew, dimensions=generation.dimensions),
    )  # fmt: skip
    yield from _statistics(patient, STATISTICS)
    yield Check(
        code="refused_documents", severity="error" if generation.state == "live" else "info",
        what="documents that its model refused, and nothing finds", remedy="ingest them again, or pincite reembed",
        look=lambda: by_documents("refused_documents", None),
    )  # fmt: skip
    if generation.state == "live":
        yield Check(
            code="unmade_documents", severity="error", what="documents that are not searched as they are",
            remedy="ingest them again", look=lambda: by_documents("unmade_documents", None),
        )  # fmt: skip
    else:
        yield Check(
            code="unmade_documents", severity="info", what="documents yet to be made", remedy="pincite reembed",
            look=lambda: by_documents("unmade_documents", None),
        )  # fmt: skip


def recipe_check(patient: Patient, recipe: str) -> Check:
    """The check of how documents of the live generation were cut."""
    return Check(
        code="old_cuts", severity="info", what="documents that would be cut or situated otherwise today",
        remedy="ingest them again, or pincite reembed",
        look=lambda: _by_documents(patient, "old_cuts", None, recipe=recipe),
    )  # fmt: skip


def _orphans(patient: Patient, children: Mapping[str, str]) -> Check:
    return Check(
        code="orphan_rows", severity="error", what="rows whose document is gone", remedy=_FIX,
        look=lambda: (patient.orphans(children), partial(patient.drop_orphans, children)),
    )  # fmt: skip


def _statistics(patient: Patient, tables: Iterable[str]) -> Iterator[Check]:
    for table in tables:
        yield Check(
            code=f"wrong_{table}", severity="error", what="rows of a statistic that are not what is counted",
            remedy=_FIX, look=partial(_statistic, patient, table),
        )  # fmt: skip


def examined(tenant: str, check: Check, *, fix: bool) -> Finding | None:
    """What the check finds, None if all is well; mended, if it is to be and was."""
    count, mend = check.look()
    if not count:
        return None
    finding = Finding(
        code=check.code, severity=check.severity, tenant=tenant, count=count, what=check.what, remedy=check.remedy
    )
    if not fix or mend is None:
        return finding
    mend()
    left, _ = check.look()
    return replace(finding, mended=not left)


def _by_documents(
    patient: Patient, check: str, mend: Callable[[Sequence[UUID]], None] | None, **parameters: object
) -> tuple[int, Mending | None]:
    found = patient.documents(check, **parameters)
    return len(found), None if mend is None else partial(mend, found)


def _statistic(patient: Patient, table: str) -> tuple[int, Mending | None]:
    return patient.differences(table), partial(patient.recount, table)


def _embed_anew(patient: Patient, embedder: Embedder, documents: Sequence[UUID]) -> None:
    patient.embed_anew(documents, embedder)
