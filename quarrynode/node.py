"""What a test does with a node that runs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quarrynode import wire
from quarrynode.errors import QuarryError

REQUEST_TIMEOUT = 30.0  # seconds
_LONG_POLL = 5.0  # seconds that the node may wait before it answers about a block


@dataclass(frozen=True)
class Account:
    """An account of the development chain that has coins."""

    address: str  # EIP-55
    private_key: str | None = field(default=None, repr=False)  # 0x and 64 hex digits; None: it is not known


class Node:
    """One node that runs.

    The attributes are fixed while it runs; each method asks the node.
    """

    name: str  # such as "node1"
    url: str  # of the HTTP API and the explorer, without a slash at the end
    rpc_url: str  # of JSON-RPC
    ws_url: str | None  # of JSON-RPC over WebSocket; None if the node does not serve it
    chain_id: int
    address: str  # that gets the rewards of blocks
    accounts: tuple[Account, ...]  # none unless it is a development chain
    logs: Path  # the directory with the logs of the node's programs

    def rpc(self, method: str, *params: Any, timeout: float = REQUEST_TIMEOUT) -> Any:
        """The result of a JSON-RPC call, such as `node.rpc("eth_getBalance", address, "latest")`.

        Raises:
            RpcError: the node answered with an error object.
            QuarryError: the node does not answer.
        """
        try:
            return wire.call(self.rpc_url, method, params, timeout)
        except OSError as error:
            raise self._silent(self.rpc_url, error) from None

    def status(self) -> dict[str, Any]:
        """What `GET /status` answers: height, tip, mempool, workers and more."""
        found: dict[str, Any] = self._get("/status")
        return found

    def mine(self, n: int = 1, *, timeout: float = 60.0) -> list[str]:
        """Mine `n` blocks, one after the other, with the node's own workers, whatever mode it mines in.

        Returns:
            The hashes of the blocks, oldest first, without 0x.

        Args:
            timeout: seconds for each block.

        Raises:
            QuarryError: the request failed, or the time is over.
            ValueError: `n` is below 1.
        """
        if n < 1:
            raise ValueError("n must be 1 or more")
        return [self._mine_one(timeout) for _ in range(n)]

    def snapshot(self) -> str:
        """Keep the chain and the mempool as they are now (`evm_snapshot`). Returns the id of the snapshot."""
        return str(self.rpc("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Go back to a snapshot, which is removed, as are all later ones (`evm_revert`).

        Raises:
            QuarryError: the node has no such snapshot.
        """
        if self.rpc("evm_revert", snapshot) is not True:
            raise QuarryError(f"The node has no snapshot {snapshot}.")

    def _mine_one(self, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        answer = self._get(f"/mine?wait={min(timeout, _LONG_POLL):g}", method="POST")
        while "hash" not in answer:
            job = answer.get("job") or answer["id"]
            left = deadline - time.monotonic()
            if left <= 0:
                raise QuarryError(f"No block within {timeout:g} s; the node keeps the request {job}.")
            answer = self._get(f"/jobs/{job}?wait={min(left, _LONG_POLL):.3f}")
            if answer["status"] in ("failed", "cancelled"):
                raise QuarryError(f"The mining request {job} was {answer['status']}.")
            if answer["status"] == "finished":
                return str(answer["block"])
        return str(answer["hash"])

    def _get(self, path: str, *, method: str | None = None) -> Any:
        try:
            return wire.ask(self.url + path, method=method, timeout=REQUEST_TIMEOUT)
        except OSError as error:
            raise self._silent(self.url, error) from None

    def _silent(self, url: str, error: OSError) -> QuarryError:
        """The error for a node that does not answer."""
        return QuarryError(f"The node at {url} does not answer: {getattr(error, 'reason', error)}.")

    def _describe(self, record: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
        """Set the attributes from what `quarry up --json` printed.

        Args:
            record: the part about this node.
            whole: all of it.
        """
        self.name = str(record["name"])
        self.url = str(record["url"]).rstrip("/")
        self.rpc_url = str(record.get("rpc_url") or f"{self.url}/rpc")
        self.ws_url = str(record["ws_url"]) if record.get("ws_url") else None
        self.address = str(record["address"])
        self.logs = Path(record["logs"])
        self.accounts = tuple(
            Account(str(item["address"]), item.get("private_key")) for item in whole.get("development_accounts", ())
        )
        self.chain_id = int(self.status()["chain_id"])
