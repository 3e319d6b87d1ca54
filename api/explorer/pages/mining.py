"""Mining: the round in progress, the rounds before it, the workers, and the work that was in vain."""

from collections import Counter
from typing import Any

from api.representations import round_view
from services.clocks import wrong_clock_words
from services.node import Node

_EVENTS = 600
_ROUNDS = 15


def mining(node: Node) -> dict[str, Any]:
    """What the mining page shows."""
    situation = node.mining.situation()
    counters = node.mining.counters()
    rounds = _rounds(node)
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
        "round": round_view(node, situation.open_round) if situation.open_round else None,
        "requests": situation.requests,
        "rounds": [item for item in rounds if item["state"] != "open"],
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
        "automine": node.settings.automine,
        "wrong_clocks": [wrong_clock_words(item.name, item.ahead) for item in node.wrong_clocks()],
    }


def _rounds(node: Node) -> list[dict[str, Any]]:
    """The last rounds, the newest first. One that got a new template has an event for each."""
    ids = dict.fromkeys(
        event.data["id"] for event in reversed(node.mining.events.latest(_EVENTS)) if event.type == "round"
    )
    found = []
    for round_id in list(ids)[:_ROUNDS]:
        view = round_view(node, round_id)
        if view is not None:
            ended = node.mining.round(round_id)
            seconds = ended.ended_at - ended.opened_at if ended and ended.ended_at is not None else None
            found.append({**view, "seconds": seconds})
    return found
