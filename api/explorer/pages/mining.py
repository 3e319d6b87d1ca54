"""The page about mining: the open round, earlier rounds, the workers, and wasted work."""

from collections import Counter
from typing import Any

from api.representations import represent_open_round, represent_round
from services.clocks import wrong_clock_words
from services.node import Node

_EVENTS = 600
_ROUNDS = 15


def mining(node: Node) -> dict[str, Any]:
    """The content of the page about mining."""
    state = node.overview()
    counters = state.counters
    rounds = [item for item in _rounds(node) if item["state"] != "open"]  # the open one has its own panel
    trouble = node.queue.trouble()
    workers: Counter[str] = Counter()
    taken_part: Counter[str] = Counter()
    sealed: Counter[str] = Counter()
    for item in rounds:
        for worker in item["workers"]:
            workers[worker["name"]] += worker["hashes"]
            taken_part[worker["name"]] += 1
        if item["sealed_by"]:
            sealed[item["sealed_by"]] += 1
    total = counters.get("hashes", 0)
    wasted = counters.get("wasted_hashes", 0)
    return {
        "round": represent_open_round(state),
        "requests": state.requests,
        "rounds": rounds,
        "workers": [(name, done, taken_part[name], sealed[name]) for name, done in workers.most_common(50)],
        "most": max(workers.values(), default=0),
        "mining_workers": node.queue.mining_workers(),
        "network_workers": node.queue.network_workers(),
        "suspended": trouble.suspended,
        "foreign_workers": trouble.strangers,
        "hashes": total,
        "wasted": wasted,
        "wasted_share": 100 * wasted / total if total else 0.0,
        "opened": counters.get("rounds_opened", 0),
        "mined": counters.get("blocks_mined", 0),
        "fetched": counters.get("blocks_fetched", 0),
        "cancelled": counters.get("rounds_cancelled", 0),
        "automine": node.modes.automine(),
        "block_time": node.modes.interval(),
        "limit": state.hash_rate_limit,
        "always": node.settings.mine == "always",
        "wrong_clocks": [wrong_clock_words(item.name, item.ahead) for item in node.wrong_clocks()],
    }


def _rounds(node: Node) -> list[dict[str, Any]]:
    """The last rounds, newest first, found by their events. A round has one for each of its templates."""
    ids = dict.fromkeys(
        event.data["id"] for event in reversed(node.mining.events.latest(_EVENTS)) if event.type == "round"
    )
    rounds = []
    for round_id in list(ids)[:_ROUNDS]:
        found = node.mining.round(round_id)
        if found is not None:
            seconds = None if found.ended_at is None else found.ended_at - found.opened_at
            rounds.append({**represent_round(node, found), "seconds": seconds})
    return rounds
