"""Weights on this machine: loaded quietly, named the same on every machine, shared between threads."""

import hashlib
import logging
import os
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def identity(model: str) -> str:
    """A model's name; of a folder, its own name and its weights' digest: a path says nothing on another machine."""
    weights = Path(model, "model.safetensors")
    if not weights.is_file():
        return model
    with weights.open("rb") as file:
        return f"{Path(model).resolve().name}@{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def twin(model: "SentenceTransformer") -> "SentenceTransformer":
    """A model for another thread: its own tokenizer and state, the same weights."""
    return deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})


def quiet_loading() -> None:
    """No progress bars and no chatter while weights load; the environment's own wish wins."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
