"""What a node asks of its peers. Every answer is checked for its shape here, and for its truth by the resolver."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from services.errors import PeerFailed, PeerLied
from services.peer_http import PeerHttp, PeerRequest
from shared import wire
from shared.errors import InputError, RuleError
from shared.forkchoice import TipClaim

STATUS_DEADLINE = 2.0
PAGE_DEADLINE = 10.0
POST_DEADLINE = 4.0
MAX_STATUS = 65_536
# One block may take max_block_bytes by itself; the serving side ends a page early to stay below this.
MAX_PAGE_BYTES = 4 * 2**20
PAGE_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Claim:
    """What a peer says of its chain. Nothing of it is proven."""

    url: str
    genesis: str
    height: int
    tip: TipClaim


class PeerClient:
    """The questions, over the HTTP port."""

    def __init__(self, http: PeerHttp, max_block_bytes: int) -> None:
        self._http = http
        self.in_parallel = http.in_parallel
        # Escapes can make a block longer on the way than its canonical form, but never ours.
        self._max_page = MAX_PAGE_BYTES + max_block_bytes

    def status(self, url: str) -> Claim:
        """The peer's genesis and tip."""
        value = self._get(url, "/status", STATUS_DEADLINE, MAX_STATUS)
        try:
            genesis, tip = value["genesis"], value["tip"]
            height, chainwork = value["height"], value["chainwork"]
        except (KeyError, TypeError):
            raise PeerFailed("The peer's status is not that of a Quarry node.") from None
        if not (_is_hash(genesis) and _is_hash(tip) and type(height) is int and type(chainwork) is int):
            raise PeerFailed("The peer's status is not that of a Quarry node.")
        if not (0 < height < 2**53 and 0 <= chainwork < 2**256):
            raise PeerFailed("The peer claims an impossible chain.")
        return Claim(url, genesis, height, TipClaim(chainwork, tip))

    def headers(self, url: str, locator: Sequence[str], limit: int = PAGE_LIMIT) -> list[Any]:
        """The JSON objects of the headers that follow the first hash of `locator` that the peer has."""
        value = self._get(url, f"/headers?locator={','.join(locator)}&limit={limit}", PAGE_DEADLINE, MAX_PAGE_BYTES)
        headers = value.get("headers") if isinstance(value, dict) else None
        if not isinstance(headers, list) or len(headers) > limit:
            raise PeerLied("The peer's headers are not a page of headers.")
        return headers

    def blocks(self, url: str, first: int, limit: int) -> list[Any]:
        """The JSON objects of a peer's blocks from height `first` on; at least one, at most `limit`."""
        value = self._get(url, f"/chain?from={first}&limit={limit}", PAGE_DEADLINE, self._max_page)
        blocks = value.get("chain") if isinstance(value, dict) else None
        if not isinstance(blocks, list) or not 0 < len(blocks) <= limit:
            raise PeerFailed("The peer does not have the blocks that it claimed.")
        return blocks

    def peers(self, url: str) -> list[str]:
        """The URLs of the peer's peers, as it writes them."""
        value = self._get(url, "/nodes", STATUS_DEADLINE, MAX_STATUS)
        nodes = value.get("nodes") if isinstance(value, dict) else None
        if not isinstance(nodes, list):
            raise PeerFailed("The peer's list of peers is not a list.")
        return [item["url"] for item in nodes if isinstance(item, dict) and isinstance(item.get("url"), str)]

    def announce(self, url: str, news: dict[str, Any]) -> None:
        """Tell the peer of our tip: {url, hash, height, chainwork}."""
        self._post(url, "/nodes/announce", news)

    def submit(self, url: str, transactions: Sequence[dict[str, Any]]) -> None:
        """Hand transactions on. Whether the peer admits them is its own affair."""
        self._post(url, "/transactions/batch", {"transactions": list(transactions)})

    def _get(self, url: str, path: str, deadline: float, max_bytes: int) -> Any:
        return self._read(PeerRequest(url, quote(path, safe="/?=&,"), deadline, max_bytes))

    def _post(self, url: str, path: str, value: Any) -> Any:
        return self._read(PeerRequest(url, path, POST_DEADLINE, MAX_PAGE_BYTES, json.dumps(value).encode()))

    def _read(self, request: PeerRequest) -> Any:
        status, body = self._http.exchange(request)
        if not 200 <= status < 300:
            raise PeerFailed(f"The peer answered {request.path.partition('?')[0]} with status {status}.")
        try:
            return wire.parse(body)
        except (InputError, RuleError):
            raise PeerLied("The peer's answer is not strict JSON.") from None


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
