"""The door of a peer that serves one chain, whichever chain its node has."""

from __future__ import annotations

import json
from typing import Any

from lab.chain_pages import HEADERS, STATUS, heights_asked
from lab.simulated.checker import State, Tree
from shared.canonical import canonical


def answer(tree: Tree, tip: State, path: str) -> tuple[int, bytes]:
    """Status and body of the answer that a node with this tip gives."""
    name = path.partition("?")[0]
    if name == STATUS:
        return 200, json.dumps(status(tree, tip)).encode()
    found = _stretch(tip, heights_asked(path, tip.block.index, lambda names: _height_of(tip, names)))
    length = tip.block.index
    if name == HEADERS:
        first = found[0].block.index if found else length + 1
        headers = [state.block.header.to_object() for state in found]
        return 200, json.dumps({"headers": headers, "from": first, "length": length}).encode()
    blocks = [state.block.canonical for state in found]
    return 200, b'{"chain": [' + b", ".join(blocks) + b'], "length": ' + str(length).encode() + b"}"


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


def _height_of(tip: State, names: list[str]) -> int:
    """The greatest height at which the chain has one of these blocks; 0: it has none."""
    wanted, state = set(names), tip
    while state.block.hash not in wanted:
        if state.parent is None:
            return 0
        state = state.parent
    return state.block.index


def _stretch(tip: State, heights: range) -> list[State]:
    """The blocks of a chain at some heights, oldest first."""
    found: list[State] = []
    state: State | None = tip
    while state is not None and state.block.index >= heights.start:
        if state.block.index in heights:
            found.append(state)
        state = state.parent
    return found[::-1]
