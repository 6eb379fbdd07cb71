"""Build the sample corpus: copy its text files and render its PDF and Word files.

Every folder beside this module that holds a ``manifest.yaml`` is a tenant. The same
sources and the same library versions give the same bytes, whenever the build is run.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from evals.sample.markdown import Block, parse_markdown
from evals.sample.pdf import render_pdf
from evals.sample.word import render_docx

HERE = Path(__file__).resolve().parent
RENDERERS: dict[str, Callable[[Sequence[Block]], bytes]] = {".pdf": render_pdf, ".docx": render_docx}


def build_sample_corpus(target: Path) -> list[Path]:
    """Build every tenant into ``target/<tenant>`` and return those folders, sorted by name.

    A file is replaced whole or not at all; files of the target that the corpus does not
    name are left alone.
    """
    tenants = sorted(manifest.parent for manifest in HERE.glob("*/manifest.yaml"))
    return [_build_tenant(tenant, target / tenant.name) for tenant in tenants]


def _build_tenant(tenant: Path, built: Path) -> Path:
    _write_whole(built / "manifest.yaml", (tenant / "manifest.yaml").read_bytes())
    documents, sources = tenant / "documents", tenant / "sources"
    for document in _files(documents):
        _write_whole(built / document.relative_to(documents), document.read_bytes())
    for source in _files(sources):
        name = source.relative_to(sources).with_suffix("")
        if source.suffix == ".md" and name.suffix in RENDERERS:
            blocks = parse_markdown(source.read_text(encoding="utf-8"))
            _write_whole(built / name, RENDERERS[name.suffix](blocks))
    return built


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def main(
    target: Annotated[Path, typer.Argument(help="Folder that receives one folder per tenant")],
) -> None:
    """Build the Pincite sample corpus."""
    for folder in build_sample_corpus(target):
        typer.echo(folder)


if __name__ == "__main__":
    typer.run(main)
