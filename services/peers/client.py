"""What a node asks its peers. This module checks the form of every answer; the resolver checks whether it is true."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from services.errors import PeerFailed, PeerLied
from services.peers.http import PeerHttp, PeerRequest
from services.peers.json_array import array_items
from shared import wire
from shared.errors import InputError
from shared.forkchoice import TipClaim
from shared.hashing import is_hash
from shared.upgrades import MAX_UPGRADES
from shared.wire import MAX_INTEGER

STATUS_DEADLINE = 2.0
PAGE_DEADLINE = 10.0
# The same, while other peers wait for their turn.
CROWDED_DEADLINE = 5.0
POST_DEADLINE = 4.0
MAX_STATUS = 65_536
# Bytes of a page of blocks. A single block may be larger. If a page is longer, fewer blocks are asked for.
MAX_PAGE_BYTES = 4 * 2**20
PAGE_LIMIT = 500
# A header has some 400 bytes as we write it.
MAX_HEADERS_BYTES = 2**20
# A chain in one piece, for rules under which nothing less can be judged; and one block of it.
CHAIN_DEADLINE = 20.0
MAX_CHAIN_BYTES = 64 * 2**20
MAX_CHAIN_BLOCK = 8 * 2**20


class NoSuchAnswer(PeerFailed):
    """A peer answers, but not as a Quarry node does: it may be a node of the tutorial."""


class BodiesGone(PeerFailed):
    """A peer has pruned the bodies of the blocks that it was asked for. That is no lie: it says so in its status."""


@dataclass(frozen=True, slots=True)
class PeerClaim:
    """What a peer claims of its chain. Nothing of it is proven."""

    url: str
    genesis: str
    height: int
    tip: TipClaim
    time: float | None = None  # Unix seconds, if it says what time it is
    instance: str = ""  # `Node.instance`, by which a node knows its own answer; "": it does not say
    upgrades: tuple[tuple[int, str], ...] = ()  # height and digest of each of its upgrades
    kept_from: int = 1  # height of the first block from which on it has all bodies


class PeerClient:
    """The questions, over the HTTP port."""

    def __init__(self, http: PeerHttp, max_block_bytes: int, *, floats: bool = False) -> None:
        """`floats`: as `Traits.floats`."""
        self._http = http
        self._floats = floats
        self.in_parallel = http.in_parallel
        # Other programs may escape more, so that a block is longer than its canonical form; Quarry nodes do not.
        self._max_block = max_block_bytes

    def status(self, url: str) -> PeerClaim:
        """The peer's genesis and tip.

        Raises:
            NoSuchAnswer: it has no status, or that of another program.
        """
        # Values that are never hashed may have fractions, such as the start of a round.
        value = self._get(url, "/status", STATUS_DEADLINE, MAX_STATUS, floats=True)
        try:
            genesis, tip = value["genesis"], value["tip"]
            height, chainwork = value["height"], value["chainwork"]
        except (KeyError, TypeError):
            raise NoSuchAnswer("The peer's status is not that of a Quarry node.") from None
        if not (is_hash(genesis) and is_hash(tip) and type(height) is int and type(chainwork) is int):
            raise NoSuchAnswer("The peer's status is not that of a Quarry node.")
        if not (0 < height <= MAX_INTEGER and 0 <= chainwork < 2**256):
            raise PeerFailed("The peer claims an impossible chain.")
        moment = value.get("time")
        told = type(moment) in (int, float) and 0 <= moment <= MAX_INTEGER
        instance = value.get("instance")
        known = instance if is_hash(instance) else ""
        upgrades = _upgrades(value.get("upgrades"))
        kept = value.get("kept_from")
        kept_from = kept if type(kept) is int and 1 <= kept <= MAX_INTEGER else 1  # older nodes keep all
        return PeerClaim(
            url, genesis, height, TipClaim(chainwork, tip), moment if told else None, known, upgrades, kept_from
        )

    def headers(self, url: str, locator: Sequence[str], limit: int = PAGE_LIMIT, *, share: int = 1) -> list[Any]:
        """The JSON objects of the headers that follow the first hash of `locator` that the peer has.

        Args:
            share: how many peers are asked at once; if it is more than one, the answer has less time.
        """
        path = f"/headers?locator={','.join(locator)}&limit={limit}"
        value = self._get(url, path, _page_deadline(share), MAX_HEADERS_BYTES)
        headers = value.get("headers") if isinstance(value, dict) else None
        if not isinstance(headers, list) or len(headers) > limit:
            raise PeerLied("The peer's headers are not a page of headers.")
        return headers

    def blocks(self, url: str, first: int, limit: int, share: int = 1) -> list[Any]:
        """The JSON objects of a peer's blocks from height `first` on; at least one, at most `limit`.

        Args:
            share: how many peers are asked at once; the longest answer is divided by it, and has room for a block.

        Raises:
            BodiesGone: the peer has pruned some of them.
        """
        max_page = MAX_PAGE_BYTES // share + self._max_block
        value = self._get(url, f"/chain?from={first}&limit={limit}", _page_deadline(share), max_page)
        blocks = value.get("chain") if isinstance(value, dict) else None
        if not isinstance(blocks, list) or not 0 < len(blocks) <= limit:
            raise PeerFailed("The peer does not have the blocks that it claimed.")
        return blocks

    @contextmanager
    def chain(self, url: str) -> Iterator[Iterator[bytes]]:
        """The text of the peer's whole chain, chunk by chunk, inside the `with` block."""
        with self._http.stream(PeerRequest(url, "/chain", CHAIN_DEADLINE, MAX_CHAIN_BYTES)) as answer:
            _require_success("/chain", answer.status)
            yield answer.chunks

    def chain_blocks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The texts of the blocks of a chain, one by one. Whether the chain is whole is only known at its end."""
        try:
            yield from array_items(chunks, "chain", MAX_CHAIN_BLOCK)
        except InputError as error:
            raise PeerLied(f"The peer's chain is not a list of blocks ({error.code}).") from None

    def parse(self, text: bytes, *, floats: bool = False) -> Any:
        """The value of a peer's JSON, read strictly. `floats`: fractions are allowed, whatever the rules."""
        try:
            return wire.parse(text, floats=floats or self._floats)
        except InputError:
            raise PeerLied("The peer's answer is not strict JSON.") from None

    def peers(self, url: str) -> list[str]:
        """The URLs of the peer's peers, as it writes them."""
        value = self._get(url, "/nodes", STATUS_DEADLINE, MAX_STATUS, floats=True)
        nodes = value.get("nodes") if isinstance(value, dict) else None
        if not isinstance(nodes, list):
            raise PeerFailed("The peer's list of peers is not a list.")
        return [item["url"] for item in nodes if isinstance(item, dict) and isinstance(item.get("url"), str)]

    def announce(self, url: str, news: dict[str, Any]) -> None:
        """Tell the peer of our tip: {url, hash, height, chainwork}."""
        self._post(url, "/nodes/announce", news)

    def submit(self, url: str, transactions: Sequence[dict[str, Any]]) -> None:
        """Send transactions to the peer. Its answer, whether it admits them, is ignored."""
        self._post(url, "/transactions/batch", {"transactions": list(transactions)})

    def _get(self, url: str, path: str, deadline: float, max_bytes: int, *, floats: bool = False) -> Any:
        status, body = self._http.exchange(PeerRequest(url, quote(path, safe="/?=&,"), deadline, max_bytes))
        _require_success(path.partition("?")[0], status)
        return self.parse(body, floats=floats)

    def _post(self, url: str, path: str, value: Any) -> None:
        body = json.dumps(value).encode()
        status, _ = self._http.exchange(PeerRequest(url, path, POST_DEADLINE, MAX_PAGE_BYTES, body))
        _require_success(path, status)


def _upgrades(value: Any) -> tuple[tuple[int, str], ...]:
    """Height and digest of each upgrade of a status; none, if it is that of an older node.

    Raises:
        PeerFailed: it is of another form.
    """
    steps = value.get("steps") if isinstance(value, dict) else [] if value is None else None
    if not isinstance(steps, list) or len(steps) > MAX_UPGRADES:
        raise PeerFailed("The peer's upgrades are not a list of heights and digests.")
    for step in steps:
        if not isinstance(step, dict) or type(step.get("height")) is not int or not is_hash(step.get("digest")):
            raise PeerFailed("The peer's upgrades are not a list of heights and digests.")
    return tuple((step["height"], step["digest"]) for step in steps)


def _page_deadline(share: int) -> float:
    return PAGE_DEADLINE if share == 1 else CROWDED_DEADLINE


def _require_success(path: str, status: int) -> None:
    if not 200 <= status < 300:
        failure = {404: NoSuchAnswer, 405: NoSuchAnswer, 410: BodiesGone}.get(status, PeerFailed)
        raise failure(f"The peer answered {path} with status {status}.")
