"""From a declaration to the source that it stands for."""

from contextlib import AbstractContextManager

from ingest.syncing.bucket import open_bucket
from ingest.syncing.declared import BucketSource, Declared, FolderSource, GitSource, WebsiteSource
from ingest.syncing.domain import Source
from ingest.syncing.folder import open_folder
from ingest.syncing.git import open_repository
from ingest.syncing.website import open_website
from retrieval.settings import IngestSettings, OutboundSettings, SyncSettings


def open_source(
    declared: Declared, settings: SyncSettings, limits: IngestSettings, *, outbound: OutboundSettings
) -> AbstractContextManager[Source]:
    """The source. Raises `InvalidSources` where its declaration needs what is not there."""
    match declared:
        case FolderSource():
            return open_folder(declared)
        case BucketSource():
            return open_bucket(declared, settings, limits)
        case GitSource():
            return open_repository(declared, limits)
        case WebsiteSource():
            return open_website(declared, settings, limits, outbound)
