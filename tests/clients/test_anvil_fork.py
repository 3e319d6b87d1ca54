"""anvil forks the chain of a node (`--fork-url`): it serves what the node serves, and goes on by itself from there."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.node import Node
from services.wallet.development import ACCOUNTS
from shared import ethereum
from shared.transaction import from_raw
from tests.support.door import RunningDoor
from tests.support.keys import ALICE
from tests.support.nodes import forget, grow, local_node
from tests.support.servers import free_port, make_server
from tests.support.specs import CHAIN_ID, make_spec, write_spec
from tests.support.waiting import eventually

A, B = ACCOUNTS[:2]


@contextmanager
def forked(anvil: str, url: str) -> Iterator[int]:
    """The port of an anvil that has forked `url`. Its own accounts are others than those of the chain."""
    port = free_port()
    options = ["--fork-url", url, "--port", str(port), "--mnemonic-seed-unsafe", "7", "--no-storage-caching"]
    with subprocess.Popen([anvil, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("Listening on"):
                    break
            assert said and said[-1].startswith("Listening on"), "".join(said)
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=30)


def ask(port: int, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    assert "error" not in answer, answer
    return answer["result"]


def alike(ours: Any, theirs: Any) -> bool:
    """Whether `theirs` says all that `ours` does. anvil writes addresses in lower case."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        # A reward is not signed: we say v 0, and anvil the lowest that it knows, 27.
        ours = {name: value for name, value in ours.items() if name != "v" or ours["r"] != "0x0"}
        return all(value is None or alike(value, theirs.get(name)) for name, value in ours.items())
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    if isinstance(ours, str) and isinstance(theirs, str):
        return ours.lower() == theirs.lower()
    return bool(ours == theirs)


def pay(node: Node, nonce: int) -> None:
    raw = ethereum.sign_raw(
        private_key=bytes.fromhex(A.private_key[2:]), nonce=nonce, to=B.address, value=10**18, chain_id=CHAIN_ID,
        gas=21_000, gas_price=10**9,
    )  # fmt: skip
    grow(node, from_raw(raw, node.settings.spec))


def test_a_fork_serves_the_chain_and_goes_on(tmp_path: Path, anvil: str) -> None:
    spec = make_spec(name="forked", genesis_timestamp=1767225600, allocations={A.address: "100", ALICE.address: "7"})
    with make_server(tmp_path / "valkey") as valkey:
        node = local_node(valkey.url, tmp_path, SPEC=str(write_spec(tmp_path / "forked.toml", spec)))
        with RunningDoor(node) as door:
            for nonce in range(5):
                pay(node, nonce)
            with forked(anvil, f"http://127.0.0.1:{door.port}") as port:
                block = door.rpc("eth_getBlockByNumber", "0x3", True)
                transaction = block["transactions"][1]["hash"]
                for call in (
                    ("eth_chainId",),
                    ("eth_blockNumber",),
                    ("eth_getBalance", A.address, "latest"),
                    ("eth_getBalance", A.address, "0x3"),
                    ("eth_getBalance", ALICE.address, "latest"),
                    ("eth_getTransactionCount", A.address, "latest"),
                    ("eth_getTransactionCount", A.address, "0x2"),
                    ("eth_getBlockByNumber", "0x0", False),
                    ("eth_getBlockByNumber", "0x3", True),
                    ("eth_getBlockByHash", block["hash"], False),
                    ("eth_getTransactionByHash", transaction),
                    ("eth_getTransactionReceipt", transaction),
                    ("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}),
                    ("eth_getCode", spec.token.address, "latest"),
                ):
                    ours, theirs = door.rpc(*call), ask(port, *call)
                    assert alike(ours, theirs), f"{call}: {ours} {theirs}"
                # From here on it is a chain of anvil's own.
                ask(port, "anvil_impersonateAccount", A.address)
                payment = {"from": A.address, "to": B.address, "value": hex(10**18)}
                sent = ask(port, "eth_sendTransaction", payment)
                eventually(lambda: ask(port, "eth_getTransactionReceipt", sent) is not None)
                assert ask(port, "eth_getBalance", B.address, "latest") == hex(6 * 10**18)
                assert int(ask(port, "eth_blockNumber"), 16) == node.chain.tip().height + 1
                assert door.rpc("eth_getBalance", B.address, "latest") == hex(5 * 10**18)
        forget(node)
