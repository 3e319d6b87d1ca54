"""The load of a soak: clients that pay, mine and read. Each acknowledged transaction is written to a file first."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.wallet.development import ACCOUNTS
from shared.ethereum import sign_raw
from shared.keys import KeyPair
from shared.transaction import sign
from tests.soak.cluster import CHAIN_ID, SENDERS, Cluster
from tests.soak.door import Door
from tests.support.threads import Background

Json = dict[str, Any]
_GAS, _PRICE = 21_000, 10**9
# Refusals that only say that the sender's nonce is behind or ahead of the node's.
_BEHIND = ("nonce_too_low", "nonce_too_far")
_PAGES = (
    "/", "/mining", "/network", "/pool", "/learn", "/blocks?limit=20", "/chain?limit=20", "/headers?limit=50",
    "/status", "/mempool", "/metrics", "/nodes", "/block/2", "/openapi.json",
)  # fmt: skip


class Acknowledged:
    """The transactions that a node took, one line of JSON each, written before the sender goes on. To be closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file = path.open("a")
        self._lock = threading.Lock()

    def add(self, identifier: str, node: str) -> None:
        with self._lock:
            self._file.write(json.dumps({"id": identifier, "node": node, "at": time.time()}) + "\n")
            self._file.flush()
            self.count += 1

    def close(self) -> None:
        self._file.close()

    def all(self) -> list[Json]:
        with self._lock:
            return [json.loads(line) for line in self.path.read_text().splitlines()]


class Load(Background):
    """All clients, each in a thread. `answers` counts what they got.

    Args:
        rate: transactions a second of each sender.
    """

    def __init__(self, cluster: Cluster, acknowledged: Acknowledged, seed: int, rate: float) -> None:
        self._cluster = cluster
        self._acknowledged = acknowledged
        self._pause = 1 / rate
        super().__init__()
        self._doors: list[Door] = []
        self.answers: Counter[str] = Counter()
        self.faults: list[str] = []  # clients that ended with an exception
        first, last = cluster.names[0], cluster.names[-1]
        jobs: list[tuple[str, Callable[..., None], tuple[Any, ...]]] = [
            ("single", self._single, (SENDERS[0], first)),
            ("single", self._single, (SENDERS[1], last)),
            ("batch", self._batch, (SENDERS[2], first)),
            ("batch", self._batch, (SENDERS[3], last)),
            ("rpc", self._rpc, (0, first)),
            ("rpc", self._rpc, (1, last)),
            *(("mine", self._mine, (node,)) for node in cluster.names),
            *(("read", self._read, (node,)) for node in cluster.names),
            *(("stream", self._listen, (node,)) for node in cluster.names),
        ]
        self._threads = [
            threading.Thread(target=self._guarded, args=(name, job, random.Random(f"{seed}-{number}"), *rest))
            for number, (name, job, rest) in enumerate(jobs)
        ]

    def stop(self) -> None:
        super().stop()
        for door in self._doors:
            door.close()

    def _guarded(self, name: str, job: Callable[..., None], *arguments: Any) -> None:
        try:
            job(*arguments)
        except Exception as error:  # without this client there is less load than promised: the soak fails
            self.faults.append(f"{name}: {type(error).__name__}: {error}")

    def _door(self, node: str, timeout: float = 6.0) -> Door:
        """A connection that `stop` closes."""
        door = self._cluster.door(node, timeout)
        self._doors.append(door)
        return door

    # --- senders ---

    def _transfer(self, key: KeyPair, nonce: int) -> Json:
        """A transfer that depends on the nonce only, so that it can be sent twice."""
        to = SENDERS[nonce % len(SENDERS)].address
        if to == key.address:
            to = ACCOUNTS[2].address
        fields = {
            "type": "transfer", "chain_id": CHAIN_ID, "nonce": nonce, "sender": key.address, "recipient": to,
            "amount": "0.001", "fee": "0.0001",
        }  # fmt: skip
        return sign(fields, key)

    def _nonce_on_chain(self, door: Door, address: str) -> int | None:
        status, answer = door.ask("GET", f"/accounts/{address}")
        return int(answer["nonce"]) if status == 200 else None

    def _single(self, rng: random.Random, key: KeyPair, node: str) -> None:
        door, nonce = self._door(node), 0
        while not self._stop.wait(self._pause):
            status, answer = door.ask("POST", "/transactions/new", self._transfer(key, nonce))
            if status == 201:
                self._acknowledged.add(answer["id"], node)
                nonce += 1
            nonce = self._note("single", door, key.address, nonce, status, answer)

    def _batch(self, rng: random.Random, key: KeyPair, node: str) -> None:
        door, nonce, size = self._door(node), 0, 10
        while not self._stop.wait(self._pause * size):
            items = [self._transfer(key, nonce + ahead) for ahead in range(size)]
            status, answer = door.ask("POST", "/transactions/batch", {"transactions": items})
            refused = None
            for result in answer["results"] if status == 200 else ():
                if result["status"] == "accepted":
                    self._acknowledged.add(result["id"], node)
                    nonce += 1
                else:
                    refused = refused or result
            nonce = self._note("batch", door, key.address, nonce, 400 if refused else status, refused or answer)

    def _note(self, kind: str, door: Door, address: str, nonce: int, status: int, answer: Any) -> int:
        """Count an answer; returns the nonce to go on with."""
        if status in (200, 201):
            self.answers[f"{kind} ok"] += 1
            return nonce
        code = answer.get("code", "?") if isinstance(answer, dict) else "?"
        self.answers[f"{kind} {status} {code if status else 'no answer'}"] += 1
        if 400 <= status < 500 and status != 429:
            self._stop.wait(1)
            known = self._nonce_on_chain(door, address)
            return nonce if known is None else known
        self._stop.wait(0.5)
        return nonce

    def _rpc(self, rng: random.Random, account: int, node: str) -> None:
        door, sender, nonce = self._door(node), ACCOUNTS[account], 0
        key = bytes.fromhex(sender.private_key[2:])
        while not self._stop.wait(self._pause * 2):
            to = ACCOUNTS[5 + nonce % 5].address
            raw = sign_raw(
                private_key=key, chain_id=CHAIN_ID, nonce=nonce, to=to, gas=_GAS, gas_price=_PRICE, value=10**12
            )
            status, answer = self._call(door, "eth_sendRawTransaction", f"0x{raw.hex()}")
            if status == 200 and "result" in answer:
                self._acknowledged.add(answer["result"].removeprefix("0x"), node)
                nonce += 1
                self.answers["rpc ok"] += 1
            elif status == 200 and answer["error"]["message"] == "already known":
                nonce += 1
            else:
                said = answer["error"]["message"][:40] if status == 200 else status
                self.answers[f"rpc {said}"] += 1
                self._stop.wait(1)
                status, answer = self._call(door, "eth_getTransactionCount", sender.address, "latest")
                if status == 200 and "result" in answer:
                    nonce = int(answer["result"], 16)
            for method, *given in (("eth_blockNumber",), ("eth_getBalance", to, "latest"), ("eth_gasPrice",)):
                status, _ = self._call(door, method, *given)
                self.answers["rpc read ok" if status == 200 else f"rpc read {status}"] += 1

    def _call(self, door: Door, method: str, *parameters: Any) -> tuple[int, Any]:
        return door.ask("POST", "/rpc", {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})

    # --- others ---

    def _mine(self, rng: random.Random, node: str) -> None:
        """Ask for a block every few seconds; wait for half of them."""
        door = self._door(node, 15.0)
        while not self._stop.wait(rng.uniform(2, 6)):
            status, answer = door.ask("GET", f"/mine?wait={rng.choice((0, 5))}")
            self.answers[f"mine {status}"] += 1
            if status == 202:
                status, _ = door.ask("GET", f"/jobs/{answer['job']}?wait=2")
                self.answers[f"job {status}"] += 1

    def _read(self, rng: random.Random, node: str) -> None:
        door = self._door(node)
        while not self._stop.wait(0.5):
            status, _ = door.ask("GET", rng.choice(_PAGES))
            self.answers[f"read {status}"] += 1

    def _listen(self, rng: random.Random, node: str) -> None:
        """Follow `/events` as a browser does, and reconnect when the stream ends."""
        port = self._cluster.ports[self._cluster.names.index(node)]
        while not self._stop.wait(1.0):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
            try:
                connection.request("GET", "/events")
                with connection.getresponse() as response:
                    self.answers[f"stream {response.status}"] += 1
                    leaves = time.monotonic() + rng.uniform(20, 60)
                    while response.status == 200 and not self._stop.is_set() and time.monotonic() < leaves:
                        line = response.readline()
                        if not line:
                            break
                        if line.startswith(b"event: block") or b'"block"' in line:
                            self.answers["stream blocks"] += 1
            except (OSError, http.client.HTTPException):
                self.answers["stream cut"] += 1
            finally:
                connection.close()
