"""The fictional sample corpus and the modules that build it."""

from datetime import UTC, datetime

# Stamped into the rendered files in place of the clock and the library's name, so that their bytes do not change.
BUILT_AT = datetime(2025, 1, 1, tzinfo=UTC)
PRODUCER = "Pincite sample corpus"
