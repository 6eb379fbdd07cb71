"""The database as everything else begins with it."""

from retrieval.database import migrations
from retrieval.database.server import database_dsn
from retrieval.settings import Settings


def prepare_database(settings: Settings) -> str:
    """The database's DSN, its schema checked. The embedded server is started and brought up to date by itself.

    Raises `StoreUnavailable`, `StoreUnsupported` and `IndexMismatch`.
    """
    dsn = database_dsn(settings.database)
    if settings.database.database_url is None:
        migrations.upgrade(dsn)
    else:
        migrations.check_schema(dsn)
    return dsn
