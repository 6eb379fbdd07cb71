"""A bucket of an S3-compatible object store. Keys are taken as they are: what is not a name is said, not guessed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ingest.domain import Failure
from ingest.syncing.declared import BucketSource
from ingest.syncing.domain import Entry, Fetched, Item
from ingest.syncing.spool import Spool, TooLarge
from retrieval.errors import InvalidSources, SourceUnavailable
from retrieval.settings import IngestSettings, SyncSettings

_PIECE = 1024 * 1024
_ATTEMPTS = 3
_GONE = frozenset({"NoSuchKey", "404"})
_CHANGED = frozenset({"PreconditionFailed", "412"})
_REFUSED = frozenset({"AccessDenied", "403", "InvalidObjectState"})


class Bucket:
    """The objects below the folder of a bucket."""

    def __init__(self, declared: BucketSource, client: Any, max_file_bytes: int) -> None:  # noqa: ANN401 - boto3 has no types
        self._declared = declared
        self._client = client
        self._max_file_bytes = max_file_bytes
        self._folder = f"{declared.folder.strip('/')}/" if declared.folder.strip("/") else ""

    def entries(self, known: Mapping[str, Item], settled: frozenset[str]) -> Iterator[Entry | Failure]:
        """All objects but the markers of folders. Raises `SourceUnavailable` when a page of the listing is not had."""
        del known, settled
        from botocore.exceptions import BotoCoreError, ClientError

        pages = self._client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._declared.bucket, Prefix=self._folder):
                yield from (self._entry(found) for found in page.get("Contents", ()) if not found["Key"].endswith("/"))
        except (BotoCoreError, ClientError, KeyError) as error:
            raise SourceUnavailable(f"the bucket cannot be listed to its end: {_said(error)}") from error

    def fetch(self, entries: Sequence[Entry], folder: Path) -> Iterator[Fetched | Failure]:
        """The objects, each only if it is still the one that was listed."""
        spool = Spool(folder, self._max_file_bytes)
        for entry in entries:
            yield self._fetched(entry, spool)

    def _entry(self, found: Mapping[str, Any]) -> Entry:
        path = found["Key"].removeprefix(self._folder)
        return Entry(
            uri=self._declared.uri(path),
            path=path,
            name=PurePosixPath(path).name,
            marker=f"{found['ETag']}-{found['Size']}",
            size=found["Size"],
            locator=found["Key"],
            remembered={},
        )

    def _fetched(self, entry: Entry, spool: Spool) -> Fetched | Failure:
        from botocore.exceptions import BotoCoreError, ClientError

        etag = entry.marker.rpartition("-")[0]
        try:
            got = self._client.get_object(Bucket=self._declared.bucket, Key=entry.locator, IfMatch=etag)
            return Fetched(entry=entry, path=spool.write(entry.name, got["Body"].iter_chunks(_PIECE)))
        except TooLarge as error:
            return Failure(uri=entry.uri, reason="too_large", message=str(error))
        except ClientError as error:
            return _refused(entry, error)
        except (BotoCoreError, OSError) as error:
            return Failure(uri=entry.uri, reason="fetch_failed", message=_said(error))


@contextmanager
def open_bucket(declared: BucketSource, settings: SyncSettings, limits: IngestSettings) -> Iterator[Bucket]:
    """The bucket as a source. Raises `InvalidSources` where its credentials are not set, or boto3 is not installed."""
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise InvalidSources("object stores need boto3: pip install 'pincite[s3]'") from error
    config = Config(
        connect_timeout=settings.timeout,
        read_timeout=settings.timeout,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path"} if declared.endpoint else {},
        signature_version=UNSIGNED if declared.anonymous else None,
    )
    session = boto3.session.Session(region_name=declared.region, **_credentials(declared))
    client = session.client("s3", endpoint_url=declared.endpoint, config=config)
    try:
        yield Bucket(declared, client, limits.max_file_bytes)
    finally:
        client.close()


def _credentials(declared: BucketSource) -> dict[str, str]:
    if declared.credentials is None:
        return {}
    names = {
        "aws_access_key_id": f"{declared.credentials}_ACCESS_KEY_ID",
        "aws_secret_access_key": f"{declared.credentials}_SECRET_ACCESS_KEY",
    }
    if missing := [name for name in names.values() if not os.environ.get(name)]:
        raise InvalidSources(f"{declared.name}: {missing[0]} is not set")
    return {argument: os.environ[name] for argument, name in names.items()}


def _refused(entry: Entry, error: Any) -> Failure:  # noqa: ANN401 - boto3 has no types
    code = str(error.response.get("Error", {}).get("Code"))
    if code in _GONE | _CHANGED:
        return Failure(uri=entry.uri, reason="changed_meanwhile", message="it was changed or removed after the listing")
    if code in _REFUSED:
        return Failure(uri=entry.uri, reason="forbidden", message=f"the store does not give it ({code})")
    return Failure(uri=entry.uri, reason="fetch_failed", message=f"the store answered {code}")


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
