"""A tenant's line: documents are handed in at one end and taken at the other, each step one transaction.

Whoever settles a document writes its index in the same transaction, and only while its claim still holds: one that was
superseded, cancelled, re-permissioned or deleted meanwhile is left as it is.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from ingest.domain import SourceFile
from ingest.queueing.ending import end
from ingest.queueing.quota import Quota, make_room
from ingest.queueing.records import ClaimedRevision, Depth, Receipt, SettledRevision, Settlement, Submission, Waiting
from ingest.store import KnownDocument, TenantWriter, document_id_of
from ingest.transactions import connected
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.errors import Conflict, IdempotencyKeyReused, PinciteError

MOST_TOGETHER = 64
"""Documents taken at once."""
_MOST_COUNTED = 10_000
_RETRIED_TOGETHER = 500
"""Documents tried again in one transaction: a server has room for some thousand locks."""
_NONE = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobOfKey:
    job_id: UUID
    request: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _DocumentId:
    document_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class _Submitted:
    submitted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    turn_id: int


class Line(TenantWriter):
    """Hands in, takes and settles one tenant's documents over one connection; use it from one thread at a time.

    Every method raises `StoreUnavailable`.
    """

    def submit(
        self,
        submitter: str,
        submissions: Sequence[Submission],
        idempotency_key: str | None = None,
        quota: Quota | None = None,
    ) -> Receipt:
        """Takes the documents on as one job, in the place of what was handed in of them before and is not settled.

        With a key that was used before, the job of then. Raises `IdempotencyKeyReused` when that was for other
        documents, and `QueueFull`.
        """
        job_id, request = uuid4(), _digest(submissions)
        revisions = [(uuid4(), submission) for submission in submissions]
        documents = [document_id_of(self._tenant, submission.uri) for submission in submissions]
        with self._transaction():
            self._run(_statement("lock_documents"), document_ids=[str(document) for document in documents])
            key, moment = {"submitter": submitter, "idempotency_key": idempotency_key}, self._after_all(documents)
            added = self._rows(
                _JobOfKey, _statement("add_job"), job_id=job_id, request=request, submitted_at=moment,
                total=len(submissions), **key,
            )  # fmt: skip
            if not added:
                return _repeated(self._rows(_JobOfKey, _statement("job_of_key"), **key), request)
            replaced = end(self._on, _statement("supersede"), state="superseded", document_ids=documents, moment=moment)
            if quota is not None:
                make_room(self._on, quota, submissions, replaced)
            rows = [
                _row(revision_id, submission, document_id, position)
                for position, ((revision_id, submission), document_id) in enumerate(
                    zip(revisions, documents, strict=True), start=1
                )
            ]
            given = {"revisions": Jsonb(rows), "moment": moment, "due_at": datetime.now(UTC)}
            self._run(_statement("add_revisions"), job_id=job_id, **given)
            self._run_each(  # an array of large files would be copied six times over
                _statement("add_upload"),
                (
                    {"revision_id": revision_id, "content": submission.content}
                    for revision_id, submission in revisions
                    if submission.url is None
                ),
            )
            self._run(_statement("wake"))
        return Receipt(job_id=job_id, repeated=False)

    def cancel(self, job_id: UUID) -> int:
        """Settles what the job still waits for as cancelled, also what a worker has at this moment. How many."""
        with self._transaction():
            return len(end(self._on, _statement("cancel_revisions"), job_id=job_id, moment=datetime.now(UTC)))

    def retry(self, job_id: UUID | None = None) -> int:
        """Puts failed documents of the job, or of all jobs, into the line again. How many: none that was handed in anew
        since, and none whose bytes are no longer kept."""
        again, after = 0, _NONE
        while documents := self._failed_after(after, job_id):
            again += self._retry(documents, job_id)
            after = documents[-1]
        return again

    def _failed_after(self, after: UUID, job_id: UUID | None) -> list[UUID]:
        which = {"job_id": job_id, "after": after, "most": _RETRIED_TOGETHER}
        with self._transaction():
            return [failed.document_id for failed in self._rows(_DocumentId, _statement("failed_documents"), **which)]

    def _retry(self, documents: Sequence[UUID], job_id: UUID | None) -> int:
        which = {"document_ids": list(documents), "job_id": job_id, "moment": datetime.now(UTC)}
        with self._transaction():
            self._run(_statement("lock_documents"), document_ids=[str(document) for document in documents])
            again = self._rows(SettledRevision, _statement("retry_revisions"), **which)
            if again:
                jobs = [revision.job_id for revision in again]
                self._run(_statement("hold_jobs"), job_ids=jobs)
                self._run(_statement("reopen_jobs"), job_ids=jobs)
                self._run(_statement("wake"))
            return len(again)

    def claim(self, turn_id: int, claim_id: UUID, most_bytes: int, *, fetching: bool = True) -> list[ClaimedRevision]:
        """The oldest documents that wait, one or as many as have so many bytes; from now on this claim's. One that has
        to be fetched only with `fetching`."""
        with self._transaction():
            claimed = self._rows(
                ClaimedRevision,
                _statement("claim"),
                turn_id=turn_id,
                claim_id=claim_id,
                moment=datetime.now(UTC),
                most=MOST_TOGETHER,
                most_bytes=most_bytes,
                fetching=fetching,
            )
            return sorted(claimed, key=lambda revision: revision.submitted_at)

    def content(self, revision_id: UUID) -> bytes | None:
        """The bytes that were handed in; None when the revision is gone."""
        with self._transaction():
            found = self._rows(_Content, _statement("uploaded"), revision_id=revision_id)
        return bytes(found[0].content) if found else None

    def stored(self, documents: Sequence[UUID]) -> dict[str, KnownDocument]:
        """What is stored of these documents, by uri."""
        with self._looking():
            found = self._rows(KnownDocument, _statement("stored_states"), document_ids=list(documents))
        return {known.uri: known for known in found}

    def describe_held(self, claim_id: UUID, sources: Sequence[SourceFile]) -> None:
        """New permissions and metadata for those of the documents that the claim still holds."""
        with self._turn():
            held = {found.uri for found in self._rows(_Held, _statement("held"), claim_id=claim_id)}
            self.describe([source for source in sources if source.uri in held])

    def settle(
        self, claim_id: UUID, settlements: Sequence[Settlement], write: Callable[[frozenset[str]], None]
    ) -> list[SettledRevision]:
        """Ends those of the revisions that the claim still holds; `write` is called in the same transaction with their
        uris. What it raises undoes all of it."""
        moment = datetime.now(UTC)
        with self._turn():
            settled = end(
                self._on,
                _statement("settle"),
                claim_id=claim_id,
                moment=moment,
                revision_ids=[settlement.revision_id for settlement in settlements],
                states=[settlement.state for settlement in settlements],
                error_codes=[settlement.error_code for settlement in settlements],
                error_messages=[settlement.error_message for settlement in settlements],
            )
            if settled:
                write(frozenset(revision.uri for revision in settled))
                self._run(_statement("name_versions"), revision_ids=[revision.revision_id for revision in settled])
        return settled

    def put_back(self, revisions: Sequence[ClaimedRevision], due_at: datetime, cause: PinciteError) -> None:
        """The revisions of one claim wait again, from `due_at` on, and say what for."""
        with self._transaction():
            self._run(
                _statement("put_back"),
                claim_id=revisions[0].claim_id,
                revision_ids=[revision.revision_id for revision in revisions],
                due_at=due_at,
                error_code=cause.code,
                error_message=str(cause),
            )

    def release(self, turn_id: int, *, blamed: bool) -> int:
        """What a turn that is over still holds waits again. How many; `blamed`: one of them may be why."""
        with self._transaction():
            released = self._run(_statement("release"), turn_id=turn_id, losses=int(blamed))
            if released:
                self._run(_statement("wake"))
            return released

    def running_turns(self) -> list[int]:
        """The turns that hold documents."""
        with self._transaction():
            return [turn.turn_id for turn in self._rows(_Turn, _statement("running_turns"))]

    def waiting(self) -> Waiting:
        """Whether there is more to take."""
        with self._transaction():
            return self._rows(Waiting, _statement("line"), moment=datetime.now(UTC))[0]

    def wake(self, moment: datetime | None = None) -> None:
        """Tells the workers that there is something to take, now or at that moment."""
        with self._transaction():
            if moment is None:
                self._run(_statement("wake"))
            else:
                self._run(_statement("wake_at"), moment=moment)

    def wake_if_due(self) -> None:
        """Tells the workers where there is something to take now."""
        if self.waiting().due:
            self.wake()

    def depth(self) -> Depth:
        """How much waits and since when, and how much failed."""
        with self._transaction():
            return self._rows(Depth, _statement("depth"), moment=datetime.now(UTC), most=_MOST_COUNTED)[0]

    def sweep(self, before: datetime) -> int:
        """Forgets jobs that had ended by then, with the bytes of their failures. How many."""
        with self._transaction():
            self._run(_statement("hold_ended"), moment=before)
            return self._run(_statement("sweep_jobs"), moment=before)

    def _after_all(self, documents: Sequence[UUID]) -> datetime:
        """Now, and later than every state of the locked documents, whatever the clocks of those who handed them in."""
        latest = self._rows(_Submitted, _statement("latest_submission"), document_ids=list(documents))
        return max([datetime.now(UTC), *(state.submitted_at + timedelta(microseconds=1) for state in latest)])


@contextmanager
def open_line(dsn: str, tenant: TenantId) -> Iterator[Line]:
    """The tenant's line, over a connection of its own. Raises `StoreUnavailable`."""
    with connected(dsn) as connection:
        with store_errors():
            register_vector(connection)
        yield Line(connection, tenant)


def _digest(submissions: Sequence[Submission]) -> bytes:
    """The same for the same documents said in the same way."""
    digest = sha256()
    for one in submissions:
        said = (one.uri, one.file_name, one.url, one.title, one.language, sorted(one.acl), sorted(one.metadata.items()))
        digest.update(repr(said).encode("utf-8", "surrogatepass"))
        digest.update(sha256(one.content).digest())
    return digest.digest()


def _repeated(found: Sequence[_JobOfKey], request: bytes) -> Receipt:
    if not found:
        raise Conflict("the job of this Idempotency-Key ended and was forgotten this moment: ask again")
    if found[0].request != request:
        raise IdempotencyKeyReused("this Idempotency-Key was used for other documents")
    return Receipt(job_id=found[0].job_id, repeated=True)


def _row(revision_id: UUID, submission: Submission, document_id: UUID, position: int) -> dict[str, object]:
    return {
        "revision_id": str(revision_id),
        "position": position,
        "document_id": str(document_id),
        "uri": submission.uri,
        "file_name": submission.file_name,
        "url": submission.url,
        "title": submission.title,
        "language": submission.language,
        "acl": sorted(submission.acl),
        "metadata": dict(submission.metadata),
        "bytes": len(submission.content),
    }


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest.queueing", name)
