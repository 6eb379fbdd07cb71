"""The one border where psycopg's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from retrieval.errors import GenerationChanged, IndexMismatch, StoreUnavailable, TenantLeaving

# Everything that says "not now" rather than "never": the server is away, full, shutting down, or out of time.
_TRANSIENT = (
    TimeoutError,
    psycopg.OperationalError,
    pg.QueryCanceled,
    pg.LockNotAvailable,
    pg.DeadlockDetected,
    pg.SerializationFailure,
    pg.IdleInTransactionSessionTimeout,
    pg.TransactionTimeout,
    PoolTimeout,
    PoolClosed,
    TooManyRequests,
)


_LEAVING = "PCT01"
"""What `pincite_enter()` raises."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Inside it, psycopg's transient errors come out as `StoreUnavailable`, a missing schema as `IndexMismatch`,
    a tenant that is being deleted as `TenantLeaving`.

    Anything else is a defect of ours and passes through.
    """
    try:
        yield
    except (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction) as error:
        raise IndexMismatch("the database schema is not this version's: run 'pincite db upgrade'") from error
    except pg.InsufficientPrivilege as error:
        raise IndexMismatch(
            "the database's user may not act as the role pincite_app: run 'pincite db upgrade' as the schema's owner,"
            " or GRANT pincite_app TO it (WITH SET TRUE from Postgres 16 on)"
        ) from error
    except _TRANSIENT as error:
        raise StoreUnavailable("the database is not reachable or did not answer in time") from error
    except psycopg.DatabaseError as error:
        if error.sqlstate == _LEAVING:
            raise TenantLeaving("this tenant is being deleted") from error
        raise


@contextmanager
def generation_errors() -> Iterator[None]:
    """Inside it, where a transaction enters a generation of the index, a dropped one is `GenerationChanged`."""
    try:
        yield
    except (pg.UndefinedTable, pg.InvalidSchemaName) as error:
        raise GenerationChanged("the index has moved to another model meanwhile: ask again") from error
