"""The overview: the last blocks of the chain, the mempool, the workers and the peers."""

from typing import Any

from api.explorer import charts
from api.representations import represent_open_round
from services.node import Node
from services.peers.book import Peer
from services.store.records import StoredHeader

# How many blocks the charts cover, and how many the table shows.
CHARTED = 60
SHOWN = 12
# Rounds that the chart of this node's speed covers.
_ROUNDS = 40


def overview(node: Node, before: int | None) -> dict[str, Any]:
    """The content of the overview; with `before`, of a page with the blocks below that height."""
    state = node.overview()
    tip = state.tip
    end = min(before or tip.height + 1, tip.height + 1)
    first = max(1, end - CHARTED - 1)
    headers = node.chain.headers(first, max(end - first, 0))
    # Genesis is left out: its time is a date in the chain spec, not that of the first start.
    charted = [stored for stored in headers if stored.header.index > 1]
    return {
        "tip": tip,
        "newest": before is None,
        "blocks": headers[::-1][:SHOWN],
        "older": headers[-SHOWN].header.index if len(headers) > SHOWN else None,
        "charts": _charts(node, charted) if before is None else [],
        "mempool": {"size": state.pool_size, "bytes": state.pool_bytes},
        "requests": state.requests,
        "round": represent_open_round(state),
        "mining_workers": node.queue.mining_workers(),
        "peers": [peer_row(node, peer) for peer in node.peers.approved()],
        "difficulty": headers[-1].header.difficulty if headers else 0,
    }


def _charts(node: Node, headers: list[StoredHeader]) -> list[charts.Chart]:
    """The charts of the last blocks, as far as there is enough to draw.

    Where the difficulty is constant, times between blocks do not show the hash rate, but when somebody wanted a block.
    """
    interval = node.settings.spec.at(node.chain.tip().height + 1).block_interval
    second = charts.hash_rate(headers, interval) if interval else charts.round_speeds(node.mining.last_rounds(_ROUNDS))
    return [chart for chart in (charts.block_times(headers), second) if chart is not None]


def peer_row(node: Node, peer: Peer) -> dict[str, Any]:
    """One peer, and in words how its tip relates to our chain."""
    stored = node.chain.header(peer.tip) if peer.tip else None
    if not peer.tip:
        relation = "has not said its tip"
    elif stored is None:
        relation = "has a tip that we do not know"
    elif not node.chain.is_on_chain(stored):
        relation = "is on a branch that we have left"
    else:
        behind = node.chain.tip().height - stored.header.index
        relation = "agrees with us" if behind <= 0 else f"is {behind} block{'s' if behind > 1 else ''} behind us"
    if peer.tip and peer.state != "ok":
        relation = f"at its last answer: {relation}"
    return {"peer": peer, "relation": relation, "known": stored is not None}
