"""`python -m lab.simulated.mutants`: does the simulation find bugs?

Each mutant is one bug in the node's code. Schedules run until one of them fails. A mutant that survives shows that a
promise is not checked, or that the fault which breaks it does not occur.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.simulated.plan import Mode
from lab.simulated.planting import Planting, python, script
from lab.simulated.schedules import run_seed
from services.chain.reorganiser import Reorganiser
from services.errors import PeerLied
from services.jobs.queues import RESOLVE
from services.mining.rounds import Rounds
from services.peers import header_chain, patience, resolver
from services.peers.announcer import Announcer
from services.peers.book import PeerBook
from services.peers.claims import Claims
from services.peers.client import PeerClient
from services.peers.header_chain import HeaderChains
from services.store.branch import BranchStore
from services.store.pool import PoolStore, Written
from shared.chain_spec import ChainSpec
from shared.forkchoice import TipClaim
from shared.ledger import Entries
from shared.rules import Rules, rules_for
from shared.signatures import Signatures


@dataclass(frozen=True)
class Mutant:
    """A bug, and how it is planted."""

    name: str
    plant: Planting
    mode: Mode = "safety"


@dataclass(frozen=True)
class Verdict:
    """How one mutant ended."""

    mutant: Mutant
    seed: int | None  # the seed that found it; None: it survived
    schedules: int
    seconds: float
    failure: str


def _unvalidated(rules: Any, block: Any, window: Any, known: Any, now: Any, senders: Any = None) -> Any:
    return rules.apply(block, known)


def _first_seen(candidate: TipClaim, current: TipClaim) -> bool:
    return candidate.chainwork > current.chainwork


def _trusting(candidate: TipClaim, current: TipClaim) -> bool:
    return candidate.hash != current.hash


def _without_allowances(encode: Callable[[Entries], str]) -> Callable[[Entries], str]:
    return lambda entries: encode(replace(entries, allowances={}))


def _always_written(self: PoolStore, admissions: Any, now: float, cap: int) -> list[Written | None]:
    found = _REAL_ADMIT(self, admissions, now, cap)
    return [receipt or Written(1, True, "", 0) for receipt in found]


_REAL_ADMIT = PoolStore.admit


def _old(spec: ChainSpec, signatures: Signatures | None = None) -> Rules:
    return rules_for(replace(spec, stages=()), signatures)


def _late(spec: ChainSpec, signatures: Signatures | None = None) -> Rules:
    stages = tuple(replace(stage, height=stage.height + 1) for stage in spec.stages)
    return rules_for(replace(spec, stages=stages), signatures)


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _never_again(self: PeerBook) -> list[Any]:
    return [peer for peer in self.approved() if not peer.failures]


def _strict_everywhere(self: PeerClient, text: bytes, *, floats: bool = False) -> Any:
    return _REAL_PARSE(self, text)


def _blames_the_peer(self: HeaderChains, tip: Any, message: str) -> PeerLied:
    return PeerLied(message)


def _short_pages_end(self: HeaderChains, *arguments: Any) -> Any:
    stretch, page = _REAL_CONNECT(self, *arguments)
    stretch.ended = len(page) < vars(header_chain)["PAGE_LIMIT"]
    return stretch, page


def _every_announcement_is_a_job(self: Announcer, url: str, block_hash: str) -> bool:
    peer = self._book.get(url)
    if peer is None or not peer.approved:
        return False
    return self._queue.enqueue_network(RESOLVE, self._node, f"resolve-{self._node}-{block_hash[:32]}", url)


def _forgiving(self: PeerBook, *arguments: Any, broken: bool = False) -> None:
    _REAL_FAILED(self, *arguments)


_REAL_FAILED = PeerBook.failed


def _without_detached(self: BranchStore, fork: int, hashes: Any) -> Any:
    terms = _REAL_TERMS(self, fork, hashes)
    known = self._redis.zrange(self.keys.staged, 0, -1)
    return terms if terms is None or hashes[0].encode() in known else []


_REAL_TERMS = BranchStore._header_terms
_REAL_PARSE, _REAL_CONNECT = PeerClient.parse, HeaderChains._connect


def _mutants() -> tuple[Mutant, ...]:
    from services.store.records import encode_entries

    undo = _without_allowances(encode_entries)
    return (
        # The digest names the block that it belongs to, so one of the two comparisons is enough to notice.
        Mutant(
            "append compares neither the tip nor its digest",
            script(
                "append",
                ("if redis.call('HGET', P .. 'tip', 'hash') ~= parent then", "if false then"),
                ("~= digest_before then", "== false then"),
            ),
        ),
        Mutant(
            "append ignores the journal",
            script("append", ("if redis.call('EXISTS', P .. 'journal') == 1 then", "if false then")),
        ),
        Mutant(
            "append leaves no record of what it makes impossible",
            script("append", ("if not mined[id] then", "if false then")),
        ),
        Mutant(
            "blocks are not validated",
            python(
                ("services.chain.accept", "validate", _unvalidated),
                ("services.chain.reorganiser", "validate", _unvalidated),
            ),
        ),
        Mutant(
            "swap compares neither the tip nor its digest",
            script(
                "swap",
                ("if redis.call('HGET', P .. 'tip', 'hash') ~= old_tip then", "if false then"),
                ("~= digest_before then", "== false then"),
            ),
        ),
        Mutant(
            "a reorganisation drops transactions",
            script("requeue", ("for i = FIRST, #ARGV, WIDTH do", "for i = FIRST, 0, WIDTH do")),
        ),
        Mutant("a reorganisation leaves old ends behind", script("requeue", ("if end_before then", "if false then"))),
        Mutant(
            "a reorganisation does not index its branch",
            script("reindex", ("write_list('HSET', P .. 'transactions', attached)", "")),
        ),
        Mutant(
            "zero balances stay behind",
            script("lists", ("redis.call('HDEL', key, unpack(gone, i, math.min(i + 1999, #gone)))", "")),
        ),
        Mutant(
            "undo records miss allowances",
            python(("services.store.chain", "encode_entries", undo), ("services.store.branch", "encode_entries", undo)),
        ),
        Mutant(
            "a reorganisation leaves the digest behind",
            script("swap", (", 'digest', digest_after)", ", 'digest', digest_before)")),
        ),
        Mutant(
            "a reorganisation forgets what it detaches in the digest",
            python((BranchStore, "_header_terms", _without_detached)),
        ),
        Mutant(
            "the branch is believed to be better",
            python(
                ("services.peers.resolver", "is_better", _trusting),
                ("services.peers.header_chain", "is_better", _trusting),
                ("services.chain.reorganiser", "is_better", _trusting),
            ),
        ),
        Mutant(
            "admission does not compare the account",
            script(
                "admit", ("if (redis.call('HGET', P .. 'accounts', sender) or '0:0') ~= account then", "if false then")
            ),
        ),
        Mutant(
            "admission does not compare the queue",
            script(
                "admit",
                (
                    "if (revision_before or '') ~= revision_seen then",
                    "if false then",
                ),
            ),
        ),
        Mutant("admission acknowledges before it is written", python((PoolStore, "admit", _always_written))),
        Mutant(
            "eviction leaves no record",
            script(
                "admit",
                (
                    "pool_record(pool_remove(victims_sender, victim), 'evicted', 'displaced by a higher fee', now)",
                    "pool_remove(victims_sender, victim)",
                ),
            ),
        ),
        Mutant(
            "a drop does not lower the first free nonce", script("drop", ("math.min(next, tonumber(nonce))", "next"))
        ),
        Mutant(
            "a tie is not broken",
            python(
                ("services.peers.resolver", "is_better", _first_seen),
                ("services.peers.header_chain", "is_better", _first_seen),
                ("services.chain.reorganiser", "is_better", _first_seen),
            ),
            "liveness",
        ),
        Mutant("an interrupted reorganisation is left alone", python((Reorganiser, "finish", _nothing)), "liveness"),
        Mutant("a peer that failed is never asked again", python((PeerBook, "due", _never_again)), "liveness"),
        # Bugs that the simulation has found in the past; their seeds are in seeds.txt.
        Mutant("a status is read as hashed data is", python((PeerClient, "parse", _strict_everywhere)), "liveness"),
        Mutant(
            "a peer is blamed for our own reorganisation", python((HeaderChains, "_lie", _blames_the_peer)), "liveness"
        ),
        Mutant(
            "what is left of a page counts as the last",
            python((HeaderChains, "_connect", _short_pages_end)),
            "liveness",
        ),
        # Limits against strangers.
        Mutant("what a peer missed is not handed on again", python((Announcer, "remind", _nothing)), "liveness"),
        Mutant("every announcement is a job", python((Announcer, "heard", _every_announcement_is_a_job)), "liveness"),
        Mutant("a peer is asked as often as others want", python((PeerBook, "pace", _nothing)), "liveness"),
        Mutant("peers who drip are tried one by one", python((resolver, "CROWD", 1)), "liveness"),
        Mutant(
            "peers who drip are tried one by one, by their claims",
            python((resolver, "CROWD", 1), (PeerBook, "failed", _forgiving), (patience, "PATIENCE", 10.0)),
            "liveness",
        ),
        # Upgrades, and nodes that have others.
        Mutant("a node goes by the spec without its upgrades", python(("services.node", "rules_for", _old)), "parting"),
        Mutant("an upgrade comes a block too late", python(("services.node", "rules_for", _late)), "parting"),
        Mutant(
            "a peer with other upgrades counts as a liar",
            python((Claims, "other_upgrades", lambda *_: "")),
            "parting",
        ),
        Mutant("lost search jobs are not brought back", python((Rounds, "reconcile", _nothing)), "liveness"),
    )


MUTANTS = _mutants()


def judge(mutant: Mutant, seeds: Sequence[int]) -> Verdict:
    """Run schedules until one fails."""
    started = time.monotonic()
    for number, seed in enumerate(seeds, start=1):
        with mutant.plant():
            outcome = run_seed(seed, mutant.mode)
        if outcome.failure is not None:
            return Verdict(mutant, seed, number, time.monotonic() - started, outcome.failure.partition("\n")[0])
    return Verdict(mutant, None, len(seeds), time.monotonic() - started, "")


def main(arguments: list[str]) -> int:
    """Returns 0 if every mutant was found."""
    parser = argparse.ArgumentParser("python -m lab.simulated.mutants")
    parser.add_argument("--seeds", type=int, default=120, help="schedules per mutant, at most")
    parser.add_argument("--only", default="", help="mutants with this in their name")
    chosen = parser.parse_args(arguments)
    survivors = 0
    print(f"{'mutant':54} {'killed by':>13} {'schedules':>9} {'seconds':>7}  failure")
    for mutant in (item for item in MUTANTS if chosen.only in item.name):
        verdict = judge(mutant, range(1, chosen.seeds + 1))
        survivors += verdict.seed is None
        by = "SURVIVED" if verdict.seed is None else f"{mutant.mode} {verdict.seed}"
        line = f"{mutant.name:54} {by:>13} {verdict.schedules:>9} {verdict.seconds:>7.1f}  {verdict.failure[:90]}"
        print(line, flush=True)
    print(f"{survivors} survived" if survivors else "all killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
