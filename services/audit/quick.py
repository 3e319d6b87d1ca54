"""The quick check of the stored state. All of it runs at each start, a small part of it at each housekeeping.

It covers all accounts, allowances, heights and headers (by the digest in the tip), the supply and the tip's totals.
The rest is sampled. The last blocks are undone one after the other, which checks their undo records against the ledger;
more blocks are drawn at random. Of each, block, header, ids and index entries are compared. Only a replay compares
everything (services/audit/full.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from services.audit.samples import Sample, Undoing, shown
from services.errors import Damaged, NotBegun, TipMoved
from services.ports import Randomness
from services.store.chain import ChainStore
from services.store.digest import account_term, allowance_term, header_term, read_digest, sum_of, sum_text
from services.store.faults import Finding
from services.store.ledger_copy import LedgerCopy
from services.store.records import (
    Tip,
    decode_account,
    decode_tip,
    encode_account,
)
from shared.hashing import sha256
from shared.ledger import NO_ACCOUNT
from shared.rules import Rules

# Blocks at the tip that are undone, as many as wallets may ask the state of; and more that are drawn at random.
LAST, DRAWN = 128, 128
# Bytes of blocks after which one check stops sampling.
_BYTES = 2**23
# Headers that are read at once.
_PAGE = 4000
# Blocks that are read together, with all their records.
_TOGETHER = 32
_ATTEMPTS = 5
_TRANSACTIONS = b'"transactions":'
# Kinds of findings that say only that a sum differs, not which entry.
SUMS = frozenset({"digest", "supply"})


@dataclass(frozen=True, slots=True)
class Checked:
    """What a quick check found."""

    findings: tuple[Finding, ...]
    tip: Tip | None  # of the chain that was checked; None if it cannot be read
    blocks: int  # compared one by one
    has_digest: bool  # False: accounts, allowances and headers have only been sampled


class QuickAudit:
    """The quick check of one node's store."""

    def __init__(self, chain: ChainStore, rules: Rules, randomness: Randomness) -> None:
        self._chain = chain
        self._rules = rules
        self._randomness = randomness

    def run(self) -> Checked:
        """The whole quick check. The chain may grow meanwhile.

        Raises:
            NotBegun: there is neither a tip nor a block.
            TipMoved: the chain is reorganised again and again.
        """
        for _ in range(_ATTEMPTS):
            checked = self._run()
            if checked is not None:
                return checked
        raise TipMoved("The chain was reorganised while it was checked.")

    def _run(self) -> Checked | None:
        chain = self._chain
        copy = chain.stored.ledger()
        try:
            tip = decode_tip(copy.tip)
        except (Damaged, NotBegun):
            return Checked((Finding("tip", "fields", shown(_on_a_line(copy.tip)), ""),), None, 0, False)
        findings = [*self._ledger(copy, tip)]
        findings += (headers := _Headers(chain, tip)).check(copy.height)
        if not findings:
            findings += self._index_count(tip, headers.transactions)
        checked = 0
        if all(item.kind in SUMS for item in findings):
            names, checked = self._samples(copy, tip)
            findings += names
        if findings and chain.hash_at(tip.height) != tip.hash and chain.tip().hash != tip.hash:
            return None  # a reorganisation: the findings may be about two chains
        return Checked(tuple(findings), tip, checked, read_digest(tip.digest, tip.hash) is not None)

    # --- the whole ---

    def _ledger(self, copy: LedgerCopy, tip: Tip) -> Iterator[Finding]:
        """Sum up all accounts and allowances."""
        supply = 0
        for address, text in copy.accounts.items():
            try:
                account = decode_account(text)
            except Damaged:
                account = NO_ACCOUNT
            if encode_account(account).encode() != text:
                yield Finding("account", shown(address), shown(text), "")
            supply += account.balance
        for name, text in copy.allowances.items():
            if not text.isdigit():
                yield Finding("allowance", shown(name), shown(text), "")
        digest = read_digest(tip.digest, tip.hash)
        if digest is not None:
            accounts = (account_term(*item) for item in copy.accounts.items())
            allowances = (allowance_term(*item) for item in copy.allowances.items())
            found = sum_of([sum_of(accounts), sum_of(allowances)])
            if found != digest.ledger:
                yield Finding("digest", "of accounts and allowances", sum_text(found), sum_text(digest.ledger))
        if supply != tip.supply:
            yield Finding("supply", "in the tip", str(tip.supply), f"{supply}, the sum of all balances")

    def _index_count(self, tip: Tip, expected: int) -> Iterator[Finding]:
        """Whether the index has as many transactions as the chain."""
        if self._chain.has_journal():
            return
        now, count = self._chain.stored.tip_and_index_size()
        if now == tip.hash.encode() and count != expected:
            yield Finding("index", "of transactions", f"{count} entries", f"{expected}, by the headers")

    # --- samples ---

    def _samples(self, copy: LedgerCopy, tip: Tip) -> tuple[list[Finding], int]:
        """Compare some blocks, one by one. Returns what was found, and how many were compared."""
        last = range(max(1, tip.height - LAST + 1), tip.height + 1)
        drawn = sorted(self.draw(DRAWN, last.start - 1))  # not among pruned blocks, of which only headers are left
        findings: list[Finding] = []
        room, done = _BYTES, 0
        undoing = Undoing(self._rules, copy)
        for height, sample in self.blocks([*reversed(last), *drawn]):
            if sample is None or (height == tip.height and sample.stored.header.hash != tip.hash):
                break  # reorganised
            findings += sample.findings
            done += 1
            if height in last and height > 1 and not findings:
                findings += undoing.undo(sample.block, sample.undo, height)
            room -= sample.stored.size
            if room < 0 or findings:
                break
        return findings, done

    def draw(self, count: int, highest: int) -> set[int]:
        """At most `count` heights of blocks that were not pruned, up to `highest`, at random."""
        token = self._randomness.token()
        lowest = self._chain.kept_from()
        if highest < lowest:
            return set()
        numbers = (int.from_bytes(sha256(f"{token}:{i}".encode())[:8], "big") for i in range(count))
        return {number % (highest - lowest + 1) + lowest for number in numbers}

    def blocks(self, heights: Sequence[int]) -> "Iterator[tuple[int, Sample | None]]":
        """Per height its block with what is stored of it, compared; None if the chain has no such height, or the body
        was pruned.

        They are read in groups, since on a busy machine each round trip may take long.
        """
        stored = self._chain.stored
        found = list(zip(heights, stored.hashes_with_parents(heights), strict=True))
        for start in range(0, len(found), _TOGETHER):
            part = found[start : start + _TOGETHER]
            group = [(height, names) for height, names in part if len(names) == min(height, 2)]
            blocks, parents = stored.blocks_with_parents([names for _, names in group], [height for height, _ in group])
            # Bodies may be pruned between the draw and the read.
            pruned = self._chain.kept_from() - 1 if any(block.text is None for block in blocks) else 0
            samples = {
                height: Sample.read(self._rules, height, names[-1].decode("ascii", "replace"), block, parent)
                for (height, names), block, parent in zip(group, blocks, parents, strict=True)
                if block.text is not None or height > pruned
            }
            self._compare_index(samples)
            for height, _ in part:
                yield height, samples.get(height)

    def _compare_index(self, samples: "dict[int, Sample]") -> None:
        """Whether the index has the transactions of whole blocks, at their places."""
        expected = {
            bytes.fromhex(item.id): (height, b"%d:%d" % (height, position))
            for height, sample in samples.items()
            if not sample.findings
            for position, item in enumerate(sample.block.transactions)
        }
        if not expected or self._chain.has_journal():
            return
        stored = self._chain.stored.places(list(expected))
        for (name, (height, right)), place in zip(expected.items(), stored, strict=True):
            if place != right:
                finding = Finding("index", f"of transaction {name.hex()}", shown(place), shown(right))
                samples[height] = replace(samples[height], findings=(*samples[height].findings, finding))


class _Headers:
    """All headers of the chain and the list of heights, compared by the digest."""

    def __init__(self, chain: ChainStore, tip: Tip) -> None:
        self._chain = chain
        self._tip = tip
        self.transactions = 0  # on the chain, by its headers

    def check(self, length: int) -> Iterator[Finding]:
        """`length`: of the list of heights."""
        chain, tip = self._chain, self._tip
        if length != tip.height:
            yield Finding("tip", "height", str(tip.height), f"{length}, by the list of heights")
            return
        total, last = 0, b""
        for height, block_hash, text in chain.stored.headers(length, _PAGE):
            if text is None:
                yield Finding("height", f"{height}", f"{shown(block_hash)}, which is no stored block", "")
                return
            total += header_term(height, block_hash, text)
            self.transactions += _count(text)
            last = block_hash
        if last != tip.hash.encode():
            yield Finding("tip", "hash", tip.hash, f"{shown(last)}, the last of the list of heights")
            return
        digest = read_digest(tip.digest, tip.hash)
        if digest is not None and sum_of([total]) != digest.headers:
            yield Finding("digest", "of heights and headers", sum_text(sum_of([total])), sum_text(digest.headers))
        try:
            stored = chain.header(tip.hash)
        except Damaged:
            stored = None
        found = (stored.chainwork, stored.header.timestamp) if stored is not None else None
        if found != (tip.chainwork, tip.timestamp):
            right = f"chainwork {found[0]}, timestamp {found[1]}, by its header" if found is not None else ""
            yield Finding("tip", "totals", f"chainwork {tip.chainwork}, timestamp {tip.timestamp}", right)


def _count(header: bytes) -> int:
    """The number of transactions in a stored header, its last field. Decoding the header would take far longer."""
    digits = header.rpartition(_TRANSACTIONS)[2].rstrip(b"}")
    return int(digits) if digits.isdigit() else 0


def _on_a_line(fields: dict[bytes, bytes]) -> bytes | None:
    return b", ".join(b"%s %s" % item for item in sorted(fields.items())) or None
