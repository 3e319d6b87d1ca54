"""The mark on a store whose state is not the one that the blocks give, and what is wrong with it.

It is in the store, so it holds for every process on every machine: the scripts that admit, append, swap, add requests
and open rounds check it themselves.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from services.errors import LedgerDiffers
from services.store.base import NodeStore
from services.store.chain import KEEP_SECONDS
from services.store.mender import Mender

# Findings that a mark stores; their whole number is a field of its own.
KEPT = 50
# Characters of a value that a finding shows.
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One record that is not what the blocks give."""

    kind: str  # account, allowance, supply, tip, height, header, block, ids, undo, index, history, digest
    name: str  # which one: an address, "owner:spender", "block 17", a transaction id
    stored: str  # what is stored, or the part that matters
    right: str  # what the blocks give; "" if only a replay can tell

    def __str__(self) -> str:
        right = f", right {self.right}" if self.right else ""
        return f"{self.kind} {self.name}: stored {self.stored}{right}"


@dataclass(frozen=True, slots=True)
class Fault:
    """The mark of a node."""

    token: str  # of the process that wrote it
    sentence: str  # what is wrong, for people
    at: float  # Unix seconds
    repairing: bool  # a repair has begun; if it was killed, another may begin
    total: int  # how many findings there are
    findings: tuple[Finding, ...]  # the first KEPT of them

    def to_object(self) -> dict[str, object]:
        """As `/status` shows it."""
        return {
            "state": "repairing" if self.repairing else "differs",
            "detail": self.sentence,
            "since": self.at,
            "differences": self.total,
            "findings": [asdict(finding) for finding in self.findings],
        }


class FaultStore(NodeStore):
    """The mark of one node."""

    def read(self) -> Fault | None:
        """The mark, or None."""
        found = self._redis.hgetall(self.keys.fault)
        if not found:
            return None
        fields = {name.decode(): value.decode() for name, value in found.items()}
        return Fault(
            token=fields["token"],
            sentence=fields["sentence"],
            at=float(fields["at"]),
            repairing=fields["repairing"] == "1",
            total=int(fields["total"]),
            findings=tuple(Finding(**item) for item in json.loads(fields["findings"])),
        )

    def mender(self) -> Mender:
        """The writes of one repair."""
        return Mender(self._redis, self.keys)

    def require_none(self) -> None:
        """Raises: LedgerDiffers, if there is a mark. Its message is the mark's sentence."""
        sentence = self._redis.hget(self.keys.fault, "sentence")
        if sentence is not None:
            raise LedgerDiffers(sentence.decode())

    def mark(
        self, token: str, findings: Sequence[Finding], now: float, *, over: str = "*", repair: bool = False
    ) -> bool:
        """Mark the stored state as wrong; False if the mark that is there is not `over`.

        Args:
            over: token of the mark to replace; "" for none, "*" for any or none.
            repair: the mark says that a repair has begun.
        """
        fields = {
            "token": token,
            "sentence": sentence_of(findings),
            "at": str(now),
            "repairing": "1" if repair else "0",
            "total": str(len(findings)),
            "findings": json.dumps([asdict(shortened(finding)) for finding in findings[:KEPT]]),
        }
        args: list[object] = [now, KEEP_SECONDS, over]
        for name, value in fields.items():
            args += [name, value]
        return bool(self._scripts.run("mark", [self.keys.prefix], args))

    def repaired(self, token: str, old_tip: str, tip: dict[str, str]) -> bool:
        """Write the tip that the blocks give and remove the mark; False if the mark or the tip is another."""
        args: list[object] = [token, old_tip, tip["height"], tip["hash"]]
        for name, value in tip.items():
            args += [name, value]
        return bool(self._scripts.run("repaired", [self.keys.prefix], args) == b"repaired")

    def adopt_digest(self, tip: str, old: str, new: str) -> bool:
        """Give the tip a digest, if its hash is still `tip` and its digest still `old`."""
        return bool(self._scripts.run("adopt_digest", [self.keys.prefix], [tip, old, new]))


def sentence_of(findings: Sequence[Finding]) -> str:
    """What is wrong, in one sentence for people."""
    if not findings:
        return "The stored state is being compared with the blocks; until that is done, nothing is admitted or mined."
    more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
    if findings[0].kind == "digest":
        more += "; quarry chain verify names the records"
    return (
        f"The stored state is not what the blocks give ({shortened(findings[0])}{more}); until quarry repair has run, "
        "nothing is admitted or mined."
    )


def shortened(finding: Finding) -> Finding:
    """A finding that fits on a page."""
    return Finding(finding.kind, finding.name[:_SHOWN], _cut(finding.stored), _cut(finding.right))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
