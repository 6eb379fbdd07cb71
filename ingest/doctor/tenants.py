"""What can be wrong within one tenant, and what mends it: a list, read from top to bottom.

The order is that of mending: what a later check counts, an earlier one has put right.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from ingest.doctor.findings import Finding, Severity
from ingest.doctor.patient import STATISTICS, Patient
from retrieval.engine import IndexProfile
from retrieval.models.protocols import Embedder

Mending = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`look` counts what is wrong and says how to mend it, where that is safe; `mends` is what a person is told."""

    code: str
    severity: Severity
    what: str
    remedy: str
    look: Callable[[], tuple[int, Mending | None]]


def checks(patient: Patient, profile: IndexProfile | None, embedder: Embedder | None) -> Iterator[Check]:
    """The checks of one tenant. Without an embedder, vectors are not mended."""
    by_documents = partial(_by_documents, patient)
    embed_anew = None if embedder is None else partial(_embed_anew, patient, embedder)
    fix = "pincite doctor --fix"
    yield Check(
        code="orphan_rows", severity="error", what="rows whose document is gone", remedy=fix,
        look=lambda: (patient.orphans(), patient.drop_orphans),
    )  # fmt: skip
    yield Check(
        code="chunk_counts", severity="error", what="documents with another number of chunks than they say",
        remedy=fix, look=lambda: by_documents("miscounted_documents", patient.count_anew),
    )  # fmt: skip
    yield Check(
        code="missing_words", severity="error", what="documents with chunks that no word finds", remedy=fix,
        look=lambda: by_documents("chunks_without_terms", patient.read_words),
    )  # fmt: skip
    yield Check(
        code="missing_embeddings", severity="error", what="documents with chunks that no meaning finds", remedy=fix,
        look=lambda: by_documents("chunks_without_embeddings", embed_anew),
    )  # fmt: skip
    if profile is not None:
        yield Check(
            code="damaged_embeddings", severity="error", what="documents with vectors that compare with nothing",
            remedy=fix,
            look=lambda: by_documents("damaged_embeddings", embed_anew, dimensions=profile.dimensions),
        )  # fmt: skip
    yield Check(
        code="wrong_grants", severity="error", what="documents under other principals than they allow", remedy=fix,
        look=lambda: by_documents("misgranted_documents", patient.grant_anew),
    )  # fmt: skip
    yield Check(
        code="wrong_fields", severity="error", what="documents that filters read wrongly", remedy=fix,
        look=lambda: by_documents("misdescribed_documents", patient.describe_anew),
    )  # fmt: skip
    for table in STATISTICS:
        yield Check(
            code=f"wrong_{table}", severity="error", what="rows of a statistic that are not what is counted",
            remedy=fix, look=partial(_statistic, patient, table),
        )  # fmt: skip
    yield Check(
        code="shown_but_gone", severity="error", what="documents that are gone and stand in kept answers", remedy=fix,
        look=lambda: by_documents("shown_but_gone", patient.take_back),
    )  # fmt: skip
    yield Check(
        code="withdrawn_words", severity="error", what="pieces of withdrawn answers", remedy=fix,
        look=lambda: (patient.withdrawn_words(), patient.drop_withdrawn_words),
    )  # fmt: skip
    yield Check(
        code="expired", severity="info", what="kept answers and claims past their time by a day", remedy=fix,
        look=lambda: (patient.expired(), patient.sweep),
    )  # fmt: skip
    yield Check(
        code="unseen_documents", severity="info", what="documents that nobody may see",
        remedy="ingest them again with --allow, or delete them", look=lambda: by_documents("unseen_documents", None),
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
