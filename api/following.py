"""A job's progress as events: looked at now and then, so that nothing is held while nothing happens."""

import asyncio
from uuid import UUID

from api.authentication import StillAdmitted
from api.schemas.jobs import JobOut
from api.streams import NothingLeft
from ingest.queueing.following import read_job
from ingest.queueing.records import Job
from retrieval.access import TenantId
from retrieval.database.store import Store
from retrieval.keeping.shelf import WireEvent

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0


class JobProgress:
    """A job's events on their way to one reader: `progress` whenever it is another, then `finished`.

    A job may last for hours: `admitted` is asked before each look at it.
    """

    def __init__(self, store: Store, tenant: TenantId, job_id: UUID, admitted: StillAdmitted) -> None:
        self.answer_id = job_id
        self._admitted = admitted
        self._store, self._tenant = store, tenant
        self._said: Job | None = None
        self._number = 0

    async def next(self) -> WireEvent:
        """The next event; the first at once. Raises `NotFound`, `StoreUnavailable`, `NothingLeft` at the end, and what
        `admitted` raises."""
        if self._said is not None and self._said.finished_at is not None:
            raise NothingLeft
        pause = _FIRST_PAUSE
        while (job := await self._look()) == self._said:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._said, self._number = job, self._number + 1
        name = "progress" if job.finished_at is None else "finished"
        return WireEvent(number=self._number, name=name, data=JobOut.of(job).model_dump_json())

    async def _look(self) -> Job:
        await self._admitted()
        return await read_job(self._store, self._tenant, self.answer_id)
