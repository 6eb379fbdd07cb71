"""The processes that parse: what they bring with them."""

import subprocess
import sys
from pathlib import Path

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
