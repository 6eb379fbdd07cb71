"""Files made to hurt whoever reads them, and the code each must end in."""

from tests.hostile_files import archives, texts
from tests.hostile_files.hostile import READABLE, Hostile

__all__ = ["CORPUS", "LARGEST_FILE", "LONGEST_TEXT", "READABLE", "Hostile"]

LARGEST_FILE = 3_000_000
LONGEST_TEXT = 2_000_000
CORPUS: tuple[Hostile, ...] = (*archives.FILES, *texts.FILES)
