"""What runs a local model: OpenVINO where it is installed, fits the machine and agrees with torch; else torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import structlog

from retrieval.errors import EmbedderUnavailable
from retrieval.models.weights import twin

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from retrieval.models.openvino_backend import ConvertedModel

_log = structlog.get_logger(__name__)

LEAST_AGREEMENT = 0.9999
"""Cosine of a fast backend's vectors with torch's, at the least: an index may be written by one and read by another."""
_PROBES = (
    "ready",
    "How many days of vacation do I get in my first year?",
    "Die Kühlkette darf höchstens 30 Minuten unterbrochen sein, sonst gilt die Ware als verdorben (ERR-4012).",
    "The pressure sensor is calibrated at three points. " * 12,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The same weights three times, for a thread each: nothing is shared but what is only read.

    `questions` computes on one core, which is best for a few words and leaves the others alone.
    """

    name: str
    documents: "SentenceTransformer"
    passages: "SentenceTransformer"
    questions: "SentenceTransformer"
    threads: int | None
    """Torch's own threads for documents and passages: one where another library computes; None: as many as it likes."""


def choose_backend(model: "SentenceTransformer", wish: Literal["auto", "openvino", "torch"]) -> Backend:
    """The fastest backend that is there and agrees with torch; `auto` falls back to torch and says why in the log.

    Raises `EmbedderUnavailable` where `openvino` is asked for by name and cannot be had.
    """
    if wish == "torch":
        return _torch(model)
    try:
        backend = _openvino(model)
    except Exception as error:
        # A conversion fails in as many ways as there are architectures; torch runs them all.
        if wish == "openvino":
            raise EmbedderUnavailable(f"OpenVINO cannot run the embedding model: {error}") from error
        _log.warning("embedder_falls_back", backend="torch", reason=str(error).split("\n", 1)[0])
        return _torch(model)
    _log.info("embedder_backend", backend=backend.name)
    return backend


def _torch(model: "SentenceTransformer") -> Backend:
    return Backend(name="torch", documents=model, passages=twin(model), questions=twin(model), threads=None)


def _openvino(model: "SentenceTransformer") -> Backend:
    if model.device.type != "cpu":
        raise ValueError(f"the model is on {model.device.type}, where torch is at home")
    from retrieval.models.openvino_backend import ConvertedModel

    converted = ConvertedModel(model)
    refused: dict[str, str] = {}
    for precision in converted.precisions():
        try:
            return _agreeing(model, converted, precision)
        except Exception as error:  # noqa: BLE001 - a precision that cannot be computed in fails in the library's own ways
            refused[precision] = str(error).split("\n", 1)[0]
    raise ValueError(f"no precision serves: {refused}")


def _agreeing(model: "SentenceTransformer", converted: "ConvertedModel", precision: str) -> Backend:
    documents = converted.compiled(precision)
    agreed = agreement(model, documents)
    if agreed < LEAST_AGREEMENT:
        raise ValueError(f"its vectors differ from torch's (cosine {agreed:.6f})")
    return Backend(
        name=f"openvino {precision}",
        documents=documents,
        passages=twin(documents),
        questions=converted.compiled(precision, threads=1),
        threads=1,
    )


def agreement(model: "SentenceTransformer", other: "SentenceTransformer") -> float:
    """The smallest cosine between the vectors that two models give a few fixed texts; no number counts as none."""
    one, two = (
        each.encode(list(_PROBES), normalize_embeddings=True, show_progress_bar=False) for each in (model, other)
    )
    return float(np.nan_to_num((one * two).sum(axis=1), nan=-1.0).min())
