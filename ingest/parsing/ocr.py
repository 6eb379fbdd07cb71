"""Text from pictures, by the operator's own tesseract; without it they are skipped, and it is said why."""

import os
import shutil
import subprocess
from functools import cache
from io import BytesIO

from PIL import Image, ImageOps

from retrieval.errors import UnreadableDocument

MOST_PIXELS = 100_000_000  # of one picture: an A3 page at 600 dots per inch has 70 million
_PAGE_TIMEOUT = 60.0  # seconds
_NO_LANGUAGES = frozenset({"osd", "equ"})


def read_picture(picture: Image.Image) -> str:
    """The text in a picture, in the languages tesseract has been given; "" where there is none.

    Raises `UnreadableDocument`: `ocr_unavailable`, `too_complex` for a picture that is too large, or `too_slow`.
    """
    if picture.width * picture.height > MOST_PIXELS:
        raise UnreadableDocument("too_complex", f"a picture has more than {MOST_PIXELS} pixels")
    # A damaged picture is damaged whether or not it could be read.
    picture.load()
    program = shutil.which("tesseract")
    if program is None:
        raise UnreadableDocument("ocr_unavailable", "text in pictures is read by tesseract, which is not installed")
    plain = BytesIO()
    # Tesseract never sees the file as it came, only the pixels.
    ImageOps.exif_transpose(picture).convert("L").save(plain, "PNG", compress_level=1)
    command = [program, "stdin", "stdout", "-l", _languages(program)]
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own program
            command, input=plain.getvalue(), capture_output=True, timeout=_PAGE_TIMEOUT, check=True, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableDocument("too_slow", f"reading a picture took over {_PAGE_TIMEOUT:.0f} s") from error
    return done.stdout.decode(errors="replace").replace("\f", "")


def _environment() -> dict[str, str]:
    # Its threads would take the processors of the other parsing processes.
    return {**os.environ, "OMP_THREAD_LIMIT": "1"}


@cache
def _languages(program: str) -> str:
    command = [program, "--list-langs"]
    listed = subprocess.run(command, capture_output=True, timeout=_PAGE_TIMEOUT, check=True)  # noqa: S603
    found = [line.strip() for line in listed.stdout.decode().split("\n")[1:] if line.strip()]
    return "+".join(name for name in found if name not in _NO_LANGUAGES and "/" not in name) or "eng"
