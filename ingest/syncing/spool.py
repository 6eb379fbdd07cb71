"""Where fetched documents lie until they are read: each in a folder of its own, under its own name."""

from collections.abc import Iterable
from itertools import count
from pathlib import Path


class TooLarge(Exception):
    """More bytes came than a document may have."""


class Spool:
    """Writes files below a folder."""

    def __init__(self, folder: Path, max_file_bytes: int) -> None:
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._places = count()

    def write(self, name: str, pieces: Iterable[bytes]) -> Path:
        """The file, complete. Raises `TooLarge`, and what the pieces or the disk raise; nothing is left behind then."""
        place = self._folder / str(next(self._places))
        place.mkdir()
        file, size = place / name, 0
        try:
            with file.open("wb") as out:
                for piece in pieces:
                    size += out.write(piece)
                    self._check(size)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return file

    def _check(self, size: int) -> None:
        if size > self._max_file_bytes:
            raise TooLarge(f"the file is larger than {self._max_file_bytes} bytes")
