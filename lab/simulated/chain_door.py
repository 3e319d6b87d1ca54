"""The door of a peer that serves one chain, whichever chain its node has."""

from __future__ import annotations

import json
from typing import Any

from lab.simulated.checker import State, Tree
from shared.canonical import canonical

PLACES = ("/status", "/headers", "/chain")
_MOST = 500  # headers or blocks of one answer


def handles(method: str, path: str) -> bool:
    """Whether a request asks for something of a chain."""
    return method == "GET" and path.partition("?")[0] in PLACES


def answer(tree: Tree, tip: State, path: str) -> tuple[int, bytes]:
    """Status and body of the answer that a node with this tip gives."""
    name, _, query = path.partition("?")
    arguments = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
    if name == "/status":
        return 200, json.dumps(status(tree, tip)).encode()
    if name == "/headers":
        return 200, json.dumps(_headers(tip, arguments)).encode()
    first, limit = int(arguments.get("from", 1)), min(int(arguments.get("limit", _MOST)), _MOST)
    blocks = [state.block.canonical for state in _stretch(tip, first, limit)]
    return 200, b'{"chain": [' + b", ".join(blocks) + b'], "length": ' + str(tip.block.index).encode() + b"}"


def status(tree: Tree, tip: State) -> dict[str, Any]:
    """What `/status` says of the chain."""
    return {
        "genesis": tree.genesis.block.hash,
        "tip": tip.block.hash,
        "height": tip.block.index,
        "chainwork": tip.claim.chainwork,
    }


def news(url: str, tip: State) -> bytes:
    """The announcement of a tip."""
    block = tip.block
    fields = {"url": url, "hash": block.hash, "height": block.index, "chainwork": tip.claim.chainwork}
    return canonical(fields)


def _headers(tip: State, arguments: dict[str, str]) -> dict[str, Any]:
    """The headers after the first hash of the locator that is on the chain."""
    heights = {state.block.hash: state.block.index for state in _stretch(tip, 1, tip.block.index)}
    known = [heights[name] for name in arguments.get("locator", "").split(",") if name in heights]
    first = max(known, default=0) + 1
    found = _stretch(tip, first, min(int(arguments.get("limit", _MOST)), _MOST))
    return {
        "headers": [state.block.header.to_object() for state in found],
        "from": first,
        "length": tip.block.index,
    }


def _stretch(tip: State, first: int, count: int) -> list[State]:
    """The blocks of a chain from height `first` on, at most `count`."""
    found: list[State] = []
    state: State | None = tip
    while state is not None and state.block.index >= first:
        if state.block.index < first + count:
            found.append(state)
        state = state.parent
    return found[::-1]
