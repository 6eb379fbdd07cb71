"""A sentence-transformers model whose transformer is run by OpenVINO. Not imported where that is not installed.

Tokenizer, pooling and normalisation stay sentence-transformers' own: only the part that costs the time is replaced.
"""

import hashlib
import inspect
import os
import shutil
import sys
import tempfile
import warnings
from copy import deepcopy
from pathlib import Path

# OpenVINO's converter reports its use to an analytics service through this package; without it, it tells nobody.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino
import torch
import transformers
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel

_EXAMPLE = ["an example", "another one, a little longer than the first"]
_OUTPUT = "last_hidden_state"


class ConvertedModel:
    """A model with its transformer in OpenVINO's representation, to be compiled for one way of running or another."""

    def __init__(self, model: SentenceTransformer) -> None:
        """Converts, or reads what an earlier start converted. Raises whatever the converter raises."""
        self._model = model
        self._transformer = _transformer(model)
        self._core = openvino.Core()
        self._converted = _converted(self._core, model, self._transformer)

    def precisions(self) -> tuple[str, ...]:
        """What to compute in, the fastest first: bf16 only where the processor has instructions for it."""
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return ("bf16", "f32") if "BF16" in able else ("f32",)

    def compiled(self, precision: str, threads: int = 0) -> SentenceTransformer:
        """The model, ready to run; 0 threads are as many as OpenVINO thinks best."""
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = self._core.compile_model(self._converted, "CPU", hints)
        return deepcopy(self._model, {id(self._transformer): _OpenVinoTransformer(compiled, self._transformer.config)})


class _OpenVinoTransformer(torch.nn.Module):
    """Stands where the transformer stood. A copy runs on the same compiled weights, with buffers of its own."""

    def __init__(self, compiled: openvino.CompiledModel, config: object) -> None:
        super().__init__()
        self.config = config
        self._compiled = compiled
        self._request = compiled.create_infer_request()

    def forward(self, **features: torch.Tensor) -> dict[str, torch.Tensor]:
        inputs = {port.any_name: features[port.any_name].numpy() for port in self._compiled.inputs}
        found = self._request.infer(inputs, share_inputs=True)
        return {_OUTPUT: torch.from_numpy(found[_OUTPUT])}

    def __deepcopy__(self, memo: dict[int, object]) -> "_OpenVinoTransformer":
        return _OpenVinoTransformer(self._compiled, self.config)


def _transformer(model: SentenceTransformer) -> PreTrainedModel:
    transformer = getattr(model[0], "model", None)
    if not isinstance(transformer, PreTrainedModel):
        raise TypeError(f"{type(model[0]).__name__} has no transformer")
    return transformer


def _converted(core: openvino.Core, model: SentenceTransformer, transformer: PreTrainedModel) -> openvino.Model:
    """From the cache, where an earlier start left it: converting takes seconds, reading a tenth of one."""
    try:
        folder = _cache() / _digest(transformer)
        if folder.is_dir() and (kept := _read(core, folder)) is not None:
            return kept
        _keep(_convert(model, transformer), folder)
        return core.read_model(folder / "model.xml")
    except (OSError, RuntimeError):
        # No home, no room, no right to write: then each start converts.
        return _convert(model, transformer)


def _read(core: openvino.Core, folder: Path) -> openvino.Model | None:
    """What an earlier start kept. None where it is damaged: it is removed, to be made anew."""
    try:
        return core.read_model(folder / "model.xml")
    except RuntimeError:
        shutil.rmtree(folder)
        return None


def _convert(model: SentenceTransformer, transformer: PreTrainedModel) -> openvino.Model:
    taken = inspect.signature(transformer.forward).parameters
    features = model.preprocess(_EXAMPLE).items()
    example = {name: tensor for name, tensor in features if name in taken and isinstance(tensor, torch.Tensor)}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracer's, about branches that one example does not take
        converted = openvino.convert_model(transformer, example_input=example)
    return openvino.Model([converted.output(_OUTPUT)], converted.get_parameters(), "transformer")


def _keep(converted: openvino.Model, folder: Path) -> None:
    """Written beside and then renamed: of two processes that start at once, one wins, and no one reads a half."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    written = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        openvino.save_model(converted, written / "model.xml", compress_to_fp16=False)
        if not folder.is_dir():
            written.rename(folder)
    finally:
        shutil.rmtree(written, ignore_errors=True)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pincite" / "openvino"


def _digest(transformer: PreTrainedModel) -> str:
    """Another model, other weights, or another version of what converts: another conversion."""
    versions = f"{openvino.__version__} {torch.__version__} {transformers.__version__}"
    digest = hashlib.sha256(f"{versions} {transformer.config.to_json_string()}".encode())
    for name, weights in transformer.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]
