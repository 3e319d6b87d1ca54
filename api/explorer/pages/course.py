"""The course: its steps, and what the exercises need to know of the chain."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from services.errors import TipMoved
from services.node import Node
from shared.amounts import format_amount
from shared.canonical import canonical
from shared.hashing import sha256
from shared.proof import proof_hash
from shared.timestamps import max_ahead

# An example for nodes whose own chain does not serve: as `/chain` answers, with five blocks of the chain spec `dev`.
SAMPLE = "sample-chain.json"
# What a browser tries within a second or two. Exercises are never more difficult.
EASED = 2**18
# The blocks of the exercise "Chain": the first ones that were mined. They never change, and their difficulty is the
# spec's, however fast the chain's miners are now.
FIRST, SHOWN = 2, 4
# Bytes of blocks that a browser is asked to load and hash.
_MOST_BYTES = 200_000
# Characters of a block of the tutorial that the first step shows.
_MOST_TEXT = 4_000

# The texts of the first step. The first is also the one that the reader changes.
_EXAMPLES = ("Anna pays Ben 5 coins.", "Anna pays Ben 6 coins.")

_TUTORIAL = "This node's chain follows the tutorial's rules, so the exercise uses blocks of an example."
_SEALED = "Only sealers make the blocks of this node's chain, so the exercise uses blocks of an example."
_SHORT = "The chain of this node is still too short for this exercise, so it uses blocks of an example. As soon as the \
chain has five blocks, the exercise uses those."
_HEAVY = "The first blocks of this chain are too large or too difficult for a browser, so the exercise uses blocks of \
an example."
_PRUNED = (
    "This node has removed the bodies of the first blocks of its chain (QUARRY_KEEP), so the exercise uses blocks of \
an example."
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the course."""

    slug: str  # the end of its path, and the name of its template
    title: str
    idea: str  # in one sentence
    remember: str  # the sentence to remember


STEPS = (
    Step(
        "hash",
        "Hash",
        "A short number that stands for a text, like a fingerprint.",
        "The same text always has the same hash, and the smallest change gives an entirely different one.",
    ),
    Step(
        "signature",
        "Signature",
        "How you show that an order is yours, without giving away your key.",
        "Only the private key can make a signature, and everybody can check it with the public key.",
    ),
    Step(
        "transaction",
        "Transaction",
        "A signed order to pay, which nobody can change and nobody can use twice.",
        "A transaction is a signed order with a number: whoever changes it breaks the signature, and whoever repeats "
        "it is refused.",
    ),
    Step(
        "block",
        "Block",
        "A portion of transactions, with a number that is hard to find and easy to check.",
        "Mining is trying numbers until the hash of a block is small enough: long to find, quick to check.",
    ),
    Step(
        "chain",
        "Chain",
        "Each block names the one before it, so no old block can be changed alone.",
        "Whoever changes an old block has to mine it and all blocks after it again.",
    ),
    Step(
        "network",
        "Network",
        "Many computers keep the chain, and agree without anyone being in charge.",
        "Of two valid chains the one with the most work counts, so all nodes that know both choose the same.",
    ),
    Step(
        "cost",
        "What it costs",
        "Why the work has to cost something, and what it protects from.",
        "Proof of work makes the past expensive to change: a thief has to do all the work again, faster than "
        "everybody else goes on.",
    ),
)

# The table of the last step: per cent of the hash rate, and blocks.
SHARES = (10, 25, 40, 45, 51)
BEHIND = (1, 2, 6)


def frame(slug: str) -> dict[str, Any]:
    """What every step shows: itself and its neighbours. Raises: StopIteration if there is no such step."""
    at = next(i for i, step in enumerate(STEPS) if step.slug == slug)
    return {
        "steps": STEPS,
        "step": STEPS[at],
        "step_number": at + 1,
        "step_before": STEPS[at - 1] if at else None,
        "step_after": STEPS[at + 1] if at + 1 < len(STEPS) else None,
        "sample": "",
    }


def lesson(slug: str, node: Node, sample_url: str) -> dict[str, Any]:
    """The content of one step.

    Args:
        slug: of one of `STEPS`.
        sample_url: where the browser finds the example's blocks.

    Raises:
        StopIteration: there is no such step.
        TipMoved: the chain grew again and again while it was read.
    """
    content = frame(slug)
    gather = _GATHERED.get(slug)
    return content if gather is None else {**content, **gather(node, sample_url)}


def chance(share: int, behind: int) -> float:
    """How likely a thief with `share` per cent of the hash rate is to catch up with a chain `behind` blocks ahead.

    The gambler's ruin of the Bitcoin paper, section 11.
    """
    return 1.0 if share >= 50 else (share / (100 - share)) ** behind


def _words(probability: float) -> str:
    if probability >= 1:
        return "always"
    if probability < 0.000_001:
        return "< 0.0001 %"
    return f"{100 * probability:.2g} %"


def _hash(node: Node, sample_url: str) -> dict[str, Any]:
    """A block of the chain, and the text whose SHA-256 is its hash."""
    [*_, stored] = node.chain.headers(1, 1) + node.chain.headers(node.chain.tip().height, 1)
    header = stored.header
    if header.transactions_root:
        text = _seal(header.to_object()) + str(header.proof)
    else:  # the tutorial hashes the whole block
        if stored.size > _MOST_TEXT:
            [stored] = node.chain.headers(1, 1)
            header = stored.header
        [block] = node.chain.stream(header.index, header.index)
        text = block.decode()
    examples = [(line, sha256(line.encode()).hex()) for line in _EXAMPLES]
    return {"subject": {"height": header.index, "hash": header.hash, "text": text}, "examples": examples}


def _other_blocks(node: Node) -> str:
    """Why the exercises cannot use blocks of this chain; "": they can."""
    if not node.rules.has_accounts:
        return _TUTORIAL
    return _SEALED if node.rules.spec.has_sealers else ""


def _parent(node: Node, sample_url: str) -> dict[str, Any]:
    """The block that the exercise builds upon, and what the next one has to be like."""
    if other := _other_blocks(node):
        return {**_sample_parent(), "sample": other}
    for attempt in range(3):
        try:
            tip = node.chain.tip()
            timestamp = tip.following_time(
                node.clock.now(), max_ahead(node.settings.spec.at(tip.height + 1).block_interval)
            )
            window = node.chain.window(tip)
            break
        except TipMoved:
            if attempt == 2:
                raise
    # The browser makes the reward itself, for the key that it has made.
    following = node.rules.template(window, [], _SOMEBODY, timestamp)
    spec = node.settings.spec
    return {
        "parent": {
            "chain_id": spec.chain_id,
            "height": tip.height,
            "hash": tip.hash,
            "timestamp": following.fields["timestamp"],
            "chainwork": tip.chainwork,
            "reward": format_amount(spec.reward),
            "difficulty": min(following.difficulty, EASED),
            "real_difficulty": following.difficulty,
            "eased": following.difficulty > EASED,
        },
        "recipient": _SOMEBODY,
    }


def _chain(node: Node, sample_url: str) -> dict[str, Any]:
    """Consecutive mined blocks, and how many follow them."""
    if why := _other_blocks(node) or _unfit(node):
        return {"blocks": sample_url, "later": len(sample_blocks()) - SHOWN, "sample": why}
    later = max(0, node.chain.tip().height - FIRST - SHOWN + 1)
    return {"blocks": f"/chain?from={FIRST}&limit={SHOWN}", "later": later}


def _unfit(node: Node) -> str:
    """Why the first blocks of this chain do not serve; "": they do."""
    if node.chain.kept_from() > 1:
        return _PRUNED
    headers = node.chain.headers(FIRST, SHOWN)
    if len(headers) < SHOWN:
        return _SHORT
    heavy = sum(item.size for item in headers) > _MOST_BYTES or max(item.header.difficulty for item in headers) > EASED
    return _HEAVY if heavy else ""


def _cost(node: Node, sample_url: str) -> dict[str, Any]:
    """The work of the chain, and the table of chances."""
    rows = [(share, [_words(chance(share, behind)) for behind in BEHIND]) for share in SHARES]
    return {**_parent(node, sample_url), "odds": rows, "odds_behind": BEHIND}


_GATHERED: dict[str, Callable[[Node, str], dict[str, Any]]] = {
    "hash": _hash,
    "transaction": _parent,
    "block": _parent,
    "chain": _chain,
    "network": _parent,
    "cost": _cost,
}
# To whom the exercises pay: the first account of the development chains, whose key is public.
_SOMEBODY = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@cache
def sample_blocks() -> list[dict[str, Any]]:
    """The example's blocks after genesis."""
    path = Path(__file__).parents[1] / "static" / SAMPLE
    blocks: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["chain"]
    return blocks


def _seal(block: dict[str, Any]) -> str:
    """The seal of a block or header, 64 hex digits."""
    return sha256(canonical({name: block[name] for name in block if name not in ("transactions", "proof")})).hex()


def _sample_parent() -> dict[str, Any]:
    blocks = sample_blocks()
    last = blocks[-1]
    return {
        "parent": {
            "chain_id": last["transactions"][0]["chain_id"],
            "height": last["index"],
            "hash": proof_hash(_seal(last).encode(), last["proof"]).hex(),
            "timestamp": last["timestamp"] + 10,
            "chainwork": sum(block["difficulty"] for block in blocks),
            "reward": "1",
            "difficulty": last["difficulty"],
            "real_difficulty": last["difficulty"],
            "eased": False,
        },
        "recipient": _SOMEBODY,
    }
