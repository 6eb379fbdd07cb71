"""The first half of the ingest path, run in worker processes: hostile files cannot hurt what is outside."""

import hashlib
import os
import resource
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Lock
from types import ModuleType
from typing import Any, TypeVar
from weakref import WeakSet

from pebble import ProcessExpired, ProcessPool

from ingest.domain import Document, Failure, SourceFile
from ingest.languages import detect_language
from ingest.parsing import parse_file
from retrieval.errors import ParserUnavailable, UnreadableDocument
from retrieval.settings import IngestSettings

_MEMORY_LIMIT = 4 * 1024**3
"""Bytes of address space a worker may take: libraries map 1, the worst honest PDF met took 1 more."""
_IN_FLIGHT_PER_WORKER = 4
_LANGUAGE_SAMPLE = 10_000

_one_at_a_time = Lock()

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """The bytes and the recipe are those of the stored document."""

    source: SourceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A file turned into text. `fingerprint` is the hash of its bytes and the recipe."""

    source: SourceFile
    document: Document
    language: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    source: SourceFile
    known: bytes | None
    recipe: str
    settings: IngestSettings


class _Worker(SpawnProcess):
    """Begins without the program's main module, which a spawned process imports first of all: the console script's
    would bring it the whole service, 1.4 s of CPU before the first file is read."""

    def start(self) -> None:
        with _one_at_a_time:  # two at once would each take the other's stand-in for the program
            program = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.modules["__main__"] = program


class _WorkerContext(SpawnContext):
    """Spawned, not forked: this process has threads, for models and the database."""

    Process = _Worker


class Parsers:
    """Processes in which files are parsed. Use them from any thread."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._lock = Lock()
        self._closed = False
        self._pool = _new_pool(workers)
        self._scheduled: WeakSet[Future[Any]] = WeakSet()

    def schedule(self, work: Callable[[Item], Result], item: Item, timeout: float) -> Future[Result]:
        """What `work` makes of the item in another process, in so many seconds; processes whose keeper died are
        replaced first. Raises `ParserUnavailable` once this is closed."""
        with self._lock:
            if self._closed:
                raise ParserUnavailable("the parsing processes are closed")
            if not self._pool.active:
                self._end()
                self._pool = _new_pool(self.workers)
            future = self._pool.schedule(work, args=(item,), timeout=timeout)
            self._scheduled.add(future)
            return future

    def close(self) -> None:
        """Ends the processes, whatever they are doing, and returns when they are gone."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
        for future in self._scheduled:  # the pool forgets what it had not come to, and who waits for it
            future.cancel()


@contextmanager
def open_parsers(workers: int) -> Iterator[Parsers]:
    """`workers` processes, ended at the end."""
    parsers = Parsers(workers)
    try:
        yield parsers
    finally:
        parsers.close()


def examine(
    parsers: Parsers,
    sources: Iterable[SourceFile],
    known: Callable[[str], bytes | None],
    recipe: str,
    settings: IngestSettings,
) -> Iterator[Unchanged | Parsed | Failure]:
    """Reads and parses the files in other processes, in order, a few ahead. `known` gives stored fingerprints.

    A file that takes too long or brings its process down is a `Failure`; the others go on.
    """
    tasks = (_Task(source=source, known=known(source.uri), recipe=recipe, settings=settings) for source in sources)
    yield from _in_order(parsers, tasks, settings.parse_timeout)


def _new_pool(workers: int) -> ProcessPool:
    return ProcessPool(max_workers=workers, initializer=_confine, context=_WorkerContext())


def _in_order(parsers: Parsers, tasks: Iterator[_Task], timeout: float) -> Iterator[Unchanged | Parsed | Failure]:
    def schedule(task: _Task) -> tuple[_Task, Future[Unchanged | Parsed]]:
        return task, parsers.schedule(_examine_one, task, timeout)

    running = deque(schedule(task) for task in islice(tasks, parsers.workers * _IN_FLIGHT_PER_WORKER))
    try:
        while running:
            task, future = running.popleft()
            running.extend(schedule(following) for following in islice(tasks, 1))
            yield _outcome(task, future)
    finally:
        for _, future in running:
            future.cancel()  # nobody wants to know any more; the processes are others' as well


def _outcome(task: _Task, future: Future[Unchanged | Parsed]) -> Unchanged | Parsed | Failure:
    uri = task.source.uri
    try:
        return future.result()
    except UnreadableDocument as error:
        return Failure(uri=uri, reason=error.reason, message=str(error))
    except TimeoutError:
        return Failure(uri=uri, reason="too_slow", message=f"parsing took over {task.settings.parse_timeout:.0f} s")
    except MemoryError:
        return Failure(uri=uri, reason="too_complex", message="parsing took too much memory")
    except CancelledError as error:
        raise ParserUnavailable("the parsing processes were closed") from error
    except BrokenProcessPool as error:
        raise ParserUnavailable("the parsing processes died: is there too little memory?") from error
    except ProcessExpired:
        return Failure(uri=uri, reason="parser_crashed", message="parsing ended its process")


def _examine_one(task: _Task) -> Unchanged | Parsed:
    source = task.source
    content = _read(source, task.settings.max_file_bytes)
    fingerprint = hashlib.sha256(
        repr((task.recipe, source.path.name, source.title, source.language)).encode() + content
    ).digest()
    if fingerprint == task.known:
        return Unchanged(source=source)
    document = parse_file(source.path, content, source.title)
    if len(document.text) > task.settings.max_text_chars:
        raise UnreadableDocument("too_large", f"its text is longer than {task.settings.max_text_chars} characters")
    language = source.language or detect_language(document.text[:_LANGUAGE_SAMPLE])
    return Parsed(source=source, document=document, language=language, fingerprint=fingerprint)


def _read(source: SourceFile, max_bytes: int) -> bytes:
    try:
        if source.path.stat().st_size > max_bytes:
            raise UnreadableDocument("too_large", f"the file is larger than {max_bytes} bytes")
        return source.path.read_bytes()
    except OSError as error:
        raise UnreadableDocument("unreadable_file", f"{error.strerror}: {source.path}") from error


def _confine() -> None:
    """In a worker: little memory, and a process group that ends whole, with the programs that pictures are read by."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    os.setpgrp()
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
