"""The processes that parse: what they bring with them."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ingest.examining import open_parsers
from retrieval.errors import ParserUnavailable

PROGRAM = """
import sys
from pathlib import Path

from ingest.examining import Parsed, examine, open_parsers
from ingest.sources import Request, select
from retrieval.settings import IngestSettings

print("imported", __name__)
if __name__ == "__main__":
    selection = select(Request(paths=(Path(sys.argv[1]),), acl=frozenset({"everyone"})))
    with open_parsers(1) as parsers:
        for found in examine(parsers, selection.sources, lambda uri: None, "recipe", IngestSettings()):
            assert isinstance(found, Parsed)
            print("parsed", found.document.text)
    print("still", sys.modules["__main__"].__name__, sys.modules["__main__"].Parsed is Parsed)
"""


def test_a_worker_does_not_import_the_program(tmp_path: Path) -> None:
    """Whatever ingests, a worker starts with what parsing needs, and the program stays what it was."""
    program, note = tmp_path / "program.py", tmp_path / "note.txt"
    program.write_text(PROGRAM)
    note.write_text("A pump.")
    done = subprocess.run(
        [sys.executable, program, note], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(Path.cwd())}
    )
    assert done.stdout.split("\n") == ["imported __main__", "parsed A pump.", "still __main__ True", ""]


def test_nothing_is_left_of_it() -> None:
    """Neither a process nor a thread: a service opens and closes its parsers many times. What nobody parsed any more is
    cancelled, so that nobody waits for it."""
    before = {*multiprocessing.active_children(), *threading.enumerate()}
    with open_parsers(2) as parsers:
        waiting = [parsers.schedule(time.sleep, 60, timeout=90) for _ in range(3)]
    assert {*multiprocessing.active_children(), *threading.enumerate()} <= before
    assert all(future.done() for future in waiting)
    with pytest.raises(ParserUnavailable):
        parsers.schedule(time.sleep, 0, timeout=1)


def test_a_program_that_a_parser_runs_ends_with_it(tmp_path: Path) -> None:
    """A picture that takes too long to read takes no processor any more, once its document is given up."""
    os.mkfifo(held := tmp_path / "held")
    end = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    with open_parsers(1) as parsers:
        running = parsers.schedule(
            subprocess.check_call, ["sh", "-c", f"exec > {held}; sleep 60; echo late"], timeout=2
        )
        with pytest.raises(TimeoutError):
            running.result()
        os.set_blocking(end, True)
        assert os.read(end, 1) == b""  # when nobody can write any more
    os.close(end)
