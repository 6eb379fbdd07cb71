"""What the tests of generations share: models that do not understand each other, and an index to build anew."""

import zlib
from pathlib import Path

import numpy as np

from ingest.generations.building import Rebuild
from ingest.generations.moving import move
from ingest.generations.records import open_generations
from ingest.sources import Request
from retrieval.database.generations import Generation
from retrieval.models.protocols import Embedder, Vectors
from retrieval.serving import opening_of
from retrieval.settings import EmbedderSettings, Settings
from tests.conftest import ingest_folder
from tests.fakes import WordEmbedder

EVERYONE = frozenset({"everyone"})
INGEST = Settings().ingest.model_copy(update={"index_from": 0})


class StrangeEmbedder(WordEmbedder):
    """Words have other directions here, in more dimensions, and texts may be longer: other chunks, other vectors."""

    name = "strange-96"
    dimensions = 96
    max_tokens = 96

    def _embed(self, text: str) -> Vectors:
        vector = np.full(self.dimensions, 1e-3)
        for word in text.lower().replace(".", " ").split():
            vector += np.random.default_rng(zlib.crc32(word.encode()) + 1).standard_normal(self.dimensions)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


class MirroredEmbedder(WordEmbedder):
    """As long vectors as the first model's, in the opposite direction: taken for its own, they find what fits worst."""

    name = "mirrored-64"

    def _embed(self, text: str) -> Vectors:
        return -super()._embed(text)


MODELS: dict[str, type[WordEmbedder]] = {
    "words": WordEmbedder,
    "strange": StrangeEmbedder,
    "mirrored": MirroredEmbedder,
}


def opened(settings: EmbedderSettings) -> Embedder:
    """The model of that name."""
    return MODELS[settings.model]()


def configured(model: str) -> EmbedderSettings:
    return EmbedderSettings(model=model)


def added(dsn: str, model: str) -> Rebuild:
    """A new generation to be built by this model."""
    embedder = opened(configured(model))
    with open_generations(dsn) as generations:
        generations.record_opening(opening_of(configured("words")))
        generation = generations.add(embedder, opening_of(configured(model)))
    return rebuild_of(dsn, generation, embedder)


def rebuild_of(dsn: str, generation: Generation, embedder: Embedder) -> Rebuild:
    return Rebuild(dsn=dsn, generation=generation, embedder=embedder, settings=INGEST)


def moved(rebuild: Rebuild) -> bool:
    """Moves the index there; whether writers had to wait."""
    with open_generations(rebuild.dsn) as generations:
        return move(generations, rebuild).paused


def filled(dsn: str, folder: Path, documents: int = 12) -> None:
    """Two tenants' documents, ingested by the first model."""
    for tenant in ("acme", "zenith"):
        docs = folder / tenant
        docs.mkdir(parents=True, exist_ok=True)
        for at in range(documents):
            (docs / f"{at:03}.md").write_text(
                f"# Valve {at}\n\nValve {at} of {tenant} was opened. It is made of steel.\n\n"
                f"## Care\n\nPump {at % 5} needs oil. " + f"The gauge number {at} shows pressure and heat. " * 12
            )
        acl = frozenset({"everyone", f"user:{tenant}"})
        ingest_folder(dsn, WordEmbedder(), tenant, Request(paths=(docs,), acl=acl, metadata={"site": tenant}))
