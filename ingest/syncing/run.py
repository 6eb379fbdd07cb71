"""The sync path: from a source to the index. Reads from top to bottom.

lock → narrow → list → skip what is unchanged → claim → fetch → ingest → record → remove what is gone

Killed at any moment, a run loses and doubles nothing, and the next one carries on. Nothing is removed unless the
source was listed to its end.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from ingest.deleting.documents import delete_gone
from ingest.deleting.receipts import Deletion
from ingest.domain import Failure
from ingest.recipes import reading_recipe
from ingest.store import add_tenant
from ingest.syncing.carrying import carry_out
from ingest.syncing.declared import Declared
from ingest.syncing.domain import Entry, Item, Problem, Source, SyncReport
from ingest.syncing.ownership import Ownership
from ingest.syncing.plan import Changed, Plan, Redescribed, Unchanged, narrowed, printable
from ingest.syncing.state import SourceState, open_state
from ingest.syncing.work import TOGETHER, Batch, Outcomes, SyncRun, Work
from retrieval.access import tenant_id
from retrieval.errors import InvalidManifest, InvalidSources, SourceUnavailable, TenantLeaving

_FEW = 10
"""Where fewer are gone, the share of the source says nothing."""


def synchronise(run: SyncRun, declared: Declared) -> SyncReport:
    """Makes the index say what the source says. One bad document is a `Failure`; a source that cannot be listed to its
    end, that is declared wrongly, that another run is at, or whose tenant is being deleted or was, is a `Problem`.

    Raises `IndexMismatch`, `StoreUnavailable`, `EmbedderUnavailable` and `ParserUnavailable`; documents already stored
    stay stored, and the next run carries on.
    """
    begun = time.monotonic()
    outcomes = Outcomes(run)
    with open_state(run.dsn, tenant_id(declared.tenant), declared.name) as state:
        if not state.lock():
            outcomes.problems.append(Problem(code="already_running", message="another run is at this source"))
        else:
            try:
                state.check_tenant()
                with run.situating(tenant_id(declared.tenant), run.embedder) as situator:
                    _alone(replace(run, situator=situator), declared, state, outcomes)
            except (TenantLeaving, InvalidManifest, InvalidSources) as error:
                outcomes.stop(error)
    return _report(declared, outcomes, time.monotonic() - begun)


def _alone(run: SyncRun, declared: Declared, state: SourceState, outcomes: Outcomes) -> None:
    owner = Ownership(declared)
    if not run.dry_run:
        add_tenant(run.dsn, tenant_id(declared.tenant))
        state.begin()
    known = _narrow(owner, state, outcomes)
    made_by = reading_recipe(run.ingest, run.situator.recipe)
    plan = Plan(owner=owner, known=known, recipe=made_by, max_file_bytes=run.ingest.max_file_bytes)
    work = Work(run=run, declared=declared, state=state, plan=plan, outcomes=outcomes)
    try:
        with run.opening(declared, run.settings, run.ingest) as source:
            for batch in _batches(work, source):
                carry_out(work, source, batch)
    except SourceUnavailable as error:
        outcomes.stop(error)
    if not outcomes.problems:
        _remove(work)
    if not run.dry_run:
        state.end("incomplete" if outcomes.problems else "complete")


def _narrow(owner: Ownership, state: SourceState, outcomes: Outcomes) -> dict[str, Item]:
    """What is known of the source, after permissions that the rules no longer give were taken away: that waits for no
    source, no parser and no model."""
    known = state.items()
    narrower = list(narrowed(known.values(), owner))
    for at in range(0, len(narrower), TOGETHER):
        some = narrower[at : at + TOGETHER]
        if not outcomes.run.dry_run:
            state.describe(some)
        for source in some:
            known[source.uri] = replace(known[source.uri], acl=sorted(source.acl))
            outcomes.update(source.uri)
    return known


def _batches(work: Work, source: Source) -> Iterator[Batch]:
    """What is to be done, a part at a time. A listing that breaks off is a `Problem`; what it gave still stands."""
    batch = Batch()
    try:
        for listed in source.entries(work.plan.known, work.plan.settled()):
            _decide(work, listed, batch)
            if batch.is_full(work.run.settings.batch_bytes):
                yield batch
                batch = Batch()
    except SourceUnavailable as error:
        work.outcomes.stop(error)
    yield batch


def _decide(work: Work, listed: Entry | Failure, batch: Batch) -> None:
    outcomes, item = work.outcomes, work.plan.known.get(listed.uri)
    if len(outcomes.present) >= work.run.settings.max_entries:
        raise SourceUnavailable(f"it lists more than {work.run.settings.max_entries} entries")
    if isinstance(listed, Entry) and not listed.aside and not work.plan.wants(listed):
        return
    if listed.uri in outcomes.present:
        outcomes.fail(Failure(uri=printable(listed.uri), reason="duplicate_uri", message="the source lists it twice"))
        return
    outcomes.present.add(listed.uri)
    if isinstance(listed, Failure):
        outcomes.documents.add(listed.uri)
        outcomes.fail(listed)
    elif listed.aside:
        if item is None or (item.marker, item.remembered) != (listed.marker, listed.remembered) or item.recipe:
            batch.asides.append(listed)
    else:
        outcomes.documents.add(listed.uri)
        _decide_document(work, listed, batch)


def _decide_document(work: Work, entry: Entry, batch: Batch) -> None:
    match work.plan.decide(entry):
        case Unchanged():
            work.outcomes.unchanged += 1
            work.run.on_document("unchanged")
        case Redescribed(source=source):
            batch.redescribed.append(source)
        case Changed() as changed:
            batch.changed.append(changed)
        case Failure() as failure:
            work.outcomes.fail(failure)


def _remove(work: Work) -> None:
    """Removes what is no longer at the source, unless that is suspiciously much of it."""
    known, outcomes = work.plan.known, work.outcomes
    gone = sorted(known.keys() - outcomes.documents)
    stored = [uri for uri in gone if known[uri].stored]
    if not work.run.allow_mass_delete and _is_suspicious(work, len(stored)):
        message = f"{len(stored)} documents are gone from the source: removed only with --allow-mass-delete"
        outcomes.problems.append(Problem(code="mass_delete", message=message))
        return
    if not work.run.dry_run:
        _delete(work, stored)
    for uri in stored:
        outcomes.removed.append(uri)
        work.run.on_document("removed")
    if not work.run.dry_run:
        work.state.forget([uri for uri in gone if uri not in outcomes.present])


def _delete(work: Work, uris: Sequence[str]) -> None:
    """Over the connection that the source is locked by: who lost the lock removes nothing."""
    asked_by, tenant = f"sync:{work.declared.name}", tenant_id(work.declared.tenant)
    deletion = Deletion(dsn=work.run.dsn, tenant=tenant, asked_by=asked_by, asked_at=datetime.now(UTC))
    receipt = delete_gone(deletion, work.state, uris)
    work.outcomes.receipt = None if receipt is None else str(receipt.receipt_id)


def _is_suspicious(work: Work, gone: int) -> bool:
    stored = sum(item.stored for item in work.plan.known.values())
    if gone and not work.outcomes.documents:
        return True
    return gone >= _FEW and gone * 100 > stored * work.run.settings.max_delete_percent


def _report(declared: Declared, outcomes: Outcomes, seconds: float) -> SyncReport:
    indexed = frozenset(outcomes.indexed)
    return SyncReport(
        tenant=declared.tenant,
        source=declared.name,
        found=len(outcomes.documents),
        unchanged=outcomes.unchanged,
        fetched=outcomes.fetched,
        indexed=tuple(outcomes.indexed),
        updated=tuple(uri for uri in outcomes.updated if uri not in indexed),
        removed=tuple(outcomes.removed),
        failures=tuple(outcomes.failures),
        problems=tuple(outcomes.problems),
        chunks=outcomes.chunks,
        seconds=seconds,
        receipt=outcomes.receipt,
    )
