"""The page about the network: peers, and the last reorganisations of this node."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from api.explorer.pages.overview import peer_row
from services.node import Node
from services.store.events import Message
from services.store.records import StoredHeader
from shared.upgrades import electorate

# How many of the newest events are searched for reorganisations.
EVENTS = 2000
_FORKS = 5
_TIPS = 20
# Of each branch, how many blocks are drawn and how many transactions are listed.
_DRAWN = 5
_LISTED = 12
_STEP = 96


@dataclass(frozen=True, slots=True)
class Drawn:
    """One block of a drawn fork."""

    x: int
    height: int
    hash: str


@dataclass(frozen=True, slots=True)
class Fork:
    """One reorganisation: the fork point, and the blocks of both branches, oldest first."""

    at: float  # Unix seconds
    ancestor: StoredHeader
    detached: tuple[Drawn, ...]
    attached: tuple[Drawn, ...]
    detached_count: int
    attached_count: int
    transactions: tuple[str, ...]  # ids of detached transactions, without rewards
    rewards: int
    width: int


def network(node: Node) -> dict[str, Any]:
    """The content of the page about the network."""
    tip, spec = node.chain.tip(), node.settings.spec
    return {
        "tip": tip,
        "has_sealers": spec.has_sealers,
        "sealers": spec.at(tip.height + 1).sealers,
        "own_key": node.rounds.templates.sealer.address,
        "upgrades": [
            (stage, [(name, _shown(value)) for name, value in stage.changes.items()], electorate(spec, position))
            for position, stage in enumerate(spec.stages)
        ],
        "peers": [peer_row(node, peer) for peer in node.peers.all()],
        "forks": list(forks(node, node.mining.events.latest(EVENTS))),
        "tips": node.tips.all()[1 : _TIPS + 1],  # without the active one
        "looked_at": EVENTS,
        "reorganisations": node.mining.counters().get("reorganisations", 0),
    }


def _shown(value: int | list[str]) -> list[str]:
    """What an upgrade sets a constant to, line by line."""
    return value or ["none: anybody may seal"] if isinstance(value, list) else [f"{value:,}"]


def forks(node: Node, events: Sequence[Message]) -> Iterator[Fork]:
    """The last reorganisations, newest first, as far as `events` (oldest first) and stored headers show them."""
    found: list[tuple[Message, str]] = []
    tip = ""
    for event in events:
        if event.type == "reorganisation" and tip:
            found.append((event, tip))  # the event before it names the tip of the branch that was left
        if event.type in ("block", "reorganisation"):
            tip = event.data["hash"]
    for event, old_tip in found[::-1][:_FORKS]:
        fork = _fork(node, event, old_tip)
        if fork is not None:
            yield fork


def _fork(node: Node, event: Message, old_tip: str) -> Fork | None:
    base = event.data["fork"]
    detached, attached = _branch(node, old_tip, base), _branch(node, event.data["hash"], base)
    if not detached or bool(attached) != (event.data["height"] > base):  # the branch may be empty: a way back
        return None
    ancestor = node.chain.header(str(detached[0].header.previous_hash))
    if ancestor is None:
        return None
    ids: list[str] = []
    for stored in detached[:_DRAWN]:
        found = node.chain.transaction_ids(stored.header.hash)
        ids += found[1:] if node.rules.reward_first else found[:-1]
    return Fork(
        at=int(event.id.partition("-")[0]) / 1000,
        ancestor=ancestor,
        detached=_drawn(detached),
        attached=_drawn(attached),
        detached_count=len(detached),
        attached_count=event.data["height"] - base,
        transactions=tuple(ids[:_LISTED]),
        rewards=len(detached),
        width=_STEP * (1 + min(max(len(detached), len(attached)), _DRAWN)) + 40,
    )


def _branch(node: Node, block_hash: str, base: int) -> list[StoredHeader]:
    """The stored headers above height `base` up to a block, oldest first."""
    branch: list[StoredHeader] = []
    stored = node.chain.header(block_hash)
    if stored is None or stored.header.index - base > 10 * _DRAWN:
        return []
    while stored is not None and stored.header.index > base:
        branch.append(stored)
        stored = node.chain.header(str(stored.header.previous_hash))
    return branch[::-1]


def _drawn(branch: Sequence[StoredHeader]) -> tuple[Drawn, ...]:
    return tuple(
        Drawn(_STEP * (1 + i), stored.header.index, stored.header.hash) for i, stored in enumerate(branch[:_DRAWN])
    )
