"""kill -9 of database, API and worker under load. `make kills` does it a hundred times."""

import subprocess
import sys


def test_what_was_acknowledged_survives_whoever_is_killed() -> None:
    """Each part killed once: no upload lost or doubled, nothing deleted seen, webhooks told, receipts that hold."""
    command = [sys.executable, "-m", "tests.kills", "--kills", "3", "--workers", "1", "--clients", "2", "--hasty"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.endswith("0 lost, 0 doubled, 0 visible after they were deleted or taken away\n")
