"""What a full check of the stored state found."""

from dataclasses import dataclass, field

from services.store.digest import Digest
from services.store.faults import Finding
from shared.replay import Replay

# Findings that are kept; the rest are dropped.
MAX_FINDINGS = 10_000


@dataclass(slots=True)
class Outcome:
    """What a full check found."""

    replay: Replay
    findings: list[Finding] = field(default_factory=list)
    transactions: int = 0  # rewards included
    broken: int | None = None  # height of the first damaged block; what is above it could not be checked
    digest: Digest | None = None  # of the state that the blocks give
    tip: dict[str, str] = field(default_factory=dict)  # its fields, as the blocks give them

    def add(self, finding: Finding) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
