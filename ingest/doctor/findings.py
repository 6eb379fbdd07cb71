"""What the doctor finds: a code, how bad, how much of it, and what to do. Never a word of a document."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warn", "info"]

EVERYWHERE = ""
"""Where a finding is that belongs to no tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`count` of `what`, in this tenant or everywhere. `mended`: it was there, and was put right."""

    code: str
    severity: Severity
    tenant: str
    count: int
    what: str
    remedy: str
    mended: bool = False

    @property
    def line(self) -> str:
        """For a person."""
        where = f" [{self.tenant}]" if self.tenant else ""
        done = "mended" if self.mended else self.remedy
        return f"{self.severity:5} {self.code}{where}: {self.count} {self.what} → {done}"


def exit_code(findings: Sequence[Finding]) -> int:
    """0: nothing to do, 1: warnings, 3: errors. 2 stays for a command that could not be done."""
    left = {finding.severity for finding in findings if not finding.mended}
    return 3 if "error" in left else 1 if "warn" in left else 0
