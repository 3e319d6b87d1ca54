"""Answers for the chain that ends with any block of a lab, whichever chain each node has now.

A front shows others a chain that its node may not have, and its node one that others have. The blocks stay where they
are stored: they are asked for by hash, and only some are kept here.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from lab.blocktree import BlockTree
from lab.chain_pages import HEADERS, STATUS, heights_asked
from lab.interface import LabBlock
from lab.real.door import Answer, Asked, NoAnswer, ask
from services.peers.client import MAX_CHAIN_BLOCK, MAX_PAGE_BYTES

# Bytes of blocks, and headers, that are kept.
_KEPT_BYTES = 8 * 2**20
_KEPT_HEADERS = 2_000
_SECONDS = 3.0  # for one block
_MANY = 4  # headers from which on a page of them is asked for first
_HEADER = ("index", "timestamp", "previous_hash", "difficulty", "transactions_root", "proof")
# What nodes add to a block when they show it.
_ADDED = frozenset({"hash", "chainwork", "size", "confirmations", "on_chain"})

# The ports of the nodes that have stored a block, the best one to ask first.
Holders = Callable[[str], Sequence[int]]


class ChainCopy:
    """Belongs to one loop.

    Args:
        tree: knows which blocks there are.
    """

    def __init__(self, tree: BlockTree, holders: Holders) -> None:
        self._tree = tree
        self._holders = holders
        self._blocks: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._headers: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def answer(self, tip: str, path: str) -> Answer:
        """What a node answers whose chain ends with the block `tip`.

        Raises:
            NoAnswer: no node that runs has one of the blocks.
        """
        top = self._block(tip)
        if path.partition("?")[0] == STATUS:
            return 200, json.dumps(self._status(top)).encode()
        try:
            heights = heights_asked(path, top.height, lambda names: self._height_of(top, names))
        except ValueError:
            return 400, b"{}"
        names = self._names(top, heights)
        if path.partition("?")[0] == HEADERS:
            headers = await self._all_headers(names, heights)
            return 200, json.dumps({"headers": headers, "from": heights.start, "length": top.height}).encode()
        found: list[bytes] = []
        left = MAX_PAGE_BYTES
        for name in names:
            block = await self.body(name)
            left -= len(block)
            if left < 0 and found:
                break
            found.append(block)
        return 200, b'{"chain": [%s], "length": %d}' % (b", ".join(found), top.height)

    async def body(self, name: str) -> bytes:
        """A block as `/chain` shows it. Raises `NoAnswer`."""
        if name in self._blocks:
            self._blocks.move_to_end(name)
            return self._blocks[name]
        value = await self._shown(name)
        if value is None:
            raise NoAnswer
        text = json.dumps(_hashed(value)).encode()
        self._blocks[name] = text
        self._bytes += len(text)
        while self._bytes > _KEPT_BYTES and len(self._blocks) > 1:
            self._bytes -= len(self._blocks.popitem(last=False)[1])
        return text

    def _status(self, top: LabBlock) -> dict[str, Any]:
        genesis = self._tree.blocks()[0].hash
        claim = {"tip": top.hash, "height": top.height, "chainwork": top.chainwork}
        return {"genesis": genesis, **claim, "time": time.time()}

    async def _all_headers(self, names: list[str], heights: range) -> list[dict[str, Any]]:
        missing = [name for name in names if name not in self._headers]
        if len(missing) >= _MANY:
            for port in self._holders(names[-1])[:1]:
                page = await _get(port, f"/blocks?before={heights.start + len(names)}&limit={len(names)}")
                for shown in page["blocks"] if page is not None else ():
                    self._keep_header(str(shown["hash"]), shown)
        found = []
        for name in names:
            header = self._headers.get(name)
            found.append(self._keep_header(name, json.loads(await self.body(name))) if header is None else header)
        return found

    def _keep_header(self, name: str, shown: dict[str, Any]) -> dict[str, Any]:
        header = {key: shown[key] for key in _HEADER}
        self._headers[name] = header
        while len(self._headers) > _KEPT_HEADERS:
            self._headers.popitem(last=False)
        return header

    async def _shown(self, name: str) -> dict[str, Any] | None:
        """A block as a node that has it shows it; None: none answers."""
        for port in self._holders(name):
            value = await _get(port, f"/blocks/{name}")
            if value is not None:
                return value
        return None

    # --- the tree ---

    def _block(self, name: str) -> LabBlock:
        block = self._tree.block(name)
        if block is None:
            raise NoAnswer
        return block

    def _height_of(self, top: LabBlock, names: list[str]) -> int:
        """The greatest height at which the chain has one of these blocks; 0: it has none."""
        wanted, block = set(names), top
        while block.hash not in wanted:
            if block.height == 1:
                return 0
            block = self._block(block.parent)
        return block.height

    def _names(self, top: LabBlock, heights: range) -> list[str]:
        """The hashes of the chain at some heights, oldest first."""
        found: list[str] = []
        block = top
        while block.height >= heights.start:
            if block.height in heights:
                found.append(block.hash)
            if block.height == 1:
                break
            block = self._block(block.parent)
        return found[::-1]


def _hashed(shown: dict[str, Any]) -> dict[str, Any]:
    """A block without what the node that shows it has added."""
    block = {key: value for key, value in shown.items() if key not in _ADDED}
    block["transactions"] = [
        {key: value for key, value in item.items() if key != "id"} for item in shown["transactions"]
    ]
    return block


async def _get(port: int, path: str) -> dict[str, Any] | None:
    """The JSON object at a path of a node; None: it does not answer so."""
    try:
        status, body = await ask(port, Asked("GET", path, f"127.0.0.1:{port}"), _SECONDS, most=MAX_CHAIN_BLOCK)
        value = json.loads(body)
    except (OSError, ValueError):
        return None
    return value if status == 200 and isinstance(value, dict) else None
