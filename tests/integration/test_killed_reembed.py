"""kill -9 of the builder at any moment: the next one carries on, and nothing is lost, doubled or left paused."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from ingest.sources import Request
from tests.conftest import ingest_folder
from tests.fakes import WordEmbedder
from tests.generations import MirroredEmbedder, added, filled, moved, rebuild_of
from tests.integration.test_generations import content, made_by

BUILD = """
import sys
from dataclasses import replace
from ingest.generations import building
from ingest.generations.records import open_generations
from tests.generations import MirroredEmbedder, rebuild_of
building._BATCH_CHUNKS = 4
with open_generations(sys.argv[1]) as generations:
    generations.pause(2, 1.0)
    rebuild = rebuild_of(sys.argv[1], generations.named(2), MirroredEmbedder())
    building.build(replace(rebuild, on_batch=lambda documents, chunks: print(documents, flush=True)))
"""
KILLS = 4
DOCUMENTS = 20


def test_killed_at_random_moments(server: str, dsn: str, tmp_path: Path) -> None:
    """After builders killed in the middle, and documents that changed between them, the generation is what an ingest
    would have made, and is moved to; writers who were told to wait went on."""
    filled(dsn, tmp_path, DOCUMENTS)
    rebuild = added(dsn, "mirrored")
    moments, reached = random.Random(9), []  # noqa: S311 - repeatable, not secret
    for at in range(KILLS):
        reached.append(killed(dsn, moments.randint(1, 5), moments.uniform(0, 0.03)))
        changed = tmp_path / "acme" / f"{at:03}.md"
        changed.write_text(f"# Valve {at}\n\nValve {at} was replaced in turn {at}.\n")
        acl = frozenset({"everyone", "user:acme"})
        request = Request(paths=(changed,), acl=acl, metadata={"site": "acme"}, prefix="acme")
        assert ingest_folder(dsn, WordEmbedder(), "acme", request).indexed == (f"acme/{at:03}.md",)
    assert reached[0] < reached[-1]
    assert 0 < reached[0] < 2 * DOCUMENTS
    moved(rebuild_of(dsn, rebuild.generation, MirroredEmbedder()))
    assert content(dsn, 2) == made_by(server, tmp_path, MirroredEmbedder())


def killed(dsn: str, batches: int, seconds: float) -> int:
    """How many documents the generation had when the builder died, so long after so many batches."""
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, dsn], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(batches):
        assert process.stdout.readline()
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(*) FROM pincite_g2.cut_documents").fetchone()
    assert row is not None
    return int(row[0])
