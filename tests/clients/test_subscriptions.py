"""Subscriptions of real clients, through a reorganisation of ten blocks by a second branch."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.node import Node
from services.wallet.development import ACCOUNTS, DevelopmentAccount
from shared import ethereum
from shared.transaction import from_raw
from tests.clients.packages import HERE, npm
from tests.support.door import RunningDoor
from tests.support.nodes import forget, grow, local_node
from tests.support.servers import make_server
from tests.support.specs import CHAIN_ID, make_spec, write_spec

A, B = ACCOUNTS[:2]
METAMASK = ("@metamask/eth-block-tracker@14", "ws@8")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with make_server(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey.url


def _raw(owner: DevelopmentAccount, nonce: int, to: str) -> bytes:
    """A raw transfer of one base unit."""
    key = bytes.fromhex(owner.private_key[2:])
    return ethereum.sign_raw(
        private_key=key, nonce=nonce, to=to, value=1, chain_id=CHAIN_ID, gas=21_000, gas_price=10**9
    )


def _replace(node: Node, rival: Node, raws: list[bytes]) -> list[str]:
    """Replace the chain after genesis by a branch with a block for each transaction; the hashes of its blocks."""
    branch = node.reorganiser.begin(1)
    hashes = []
    for raw in raws:
        block = grow(rival, from_raw(raw, rival.settings.spec), recipient=B.address)
        node.reorganiser.add(branch, block)
        hashes.append(block.hash)
    node.reorganiser.swap(branch)
    return hashes


def _two_nodes(redis_url: str, directory: Path) -> tuple[Node, Node]:
    spec = make_spec(name="wallets", genesis_timestamp=1767225600, allocations={A.address: "100", B.address: "100"})
    path = str(write_spec(directory / "wallets.toml", spec))
    node, rival = (local_node(redis_url, directory, SPEC=path) for _ in range(2))
    return node, rival


def _check(redis_url: str, directory: Path, *command: str, says_removed: bool = True) -> None:
    """Run a client while the chain grows to height 11 and is then replaced from height 1 by a branch of 11 blocks.

    `says_removed`: the library hands removed events to whoever listens for events.
    """
    node, rival = _two_nodes(redis_url, directory)
    with (
        RunningDoor(node) as door,
        subprocess.Popen(
            [*command, f"ws://127.0.0.1:{door.port}/"], cwd=HERE, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as client,
    ):  # fmt: skip
        try:
            assert client.stdout is not None
            ready = client.stdout.readline()
            assert ready == "ready\n", client.communicate(timeout=60)
            waiting = door.rpc("eth_sendRawTransaction", "0x" + _raw(A, 0, B.address).hex())
            old = [grow(node).hash for _ in range(10)]
            assert door.rpc("eth_blockNumber") == "0xb"
            new = _replace(node, rival, [_raw(B, nonce, A.address) for nonce in range(11)])
            said, errors = client.communicate(timeout=60)
        finally:
            client.kill()
    assert client.returncode == 0, errors
    told = json.loads(said)
    assert told["chainId"] == CHAIN_ID
    assert told["heads"] == [*range(2, 12), *range(2, 13)]
    # The first block has a transfer, its fee and the reward, each of the others the reward; a block of the branch has
    # all three.
    first = [old[0]] * 2
    assert told["logs"] == [f"0x{name}" for name in (*first, *old, *(each for each in new for _ in range(3)))]
    assert told["removed"] == [f"0x{name}" for name in (*reversed(old), *first) if says_removed]
    assert waiting in told["pending"]
    for each in (node, rival):
        forget(each)


@pytest.mark.parametrize("script", ["ethers_ws.mjs", "viem_ws.mjs"])
def test_javascript_libraries(redis_url: str, node_modules: None, tmp_path: Path, script: str) -> None:
    # ethers makes events of another kind of them, of which each is about one known event.
    _check(redis_url, tmp_path, "node", script, says_removed=script != "ethers_ws.mjs")


def test_web3_py(redis_url: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("web3") is None:
        pytest.skip("web3 is not installed (the extra `test`)")
    _check(redis_url, tmp_path, sys.executable, "-P", str(HERE / "web3py_ws.py"))


def test_metamasks_block_tracker(redis_url: str, tmp_path: Path) -> None:
    """It asks for the height again and again. It is fetched only where that is asked for, as .ci/run does: 60 MB."""
    if not os.environ.get("TEST_METAMASK") or shutil.which("npm") is None:
        pytest.skip("MetaMask's block tracker is not asked for")
    npm(tmp_path, "install", *METAMASK)
    shutil.copy(HERE / "metamask_blocks.mjs", tmp_path)
    node, rival = _two_nodes(redis_url, tmp_path)
    with (
        RunningDoor(node) as door,
        subprocess.Popen(
            ["node", "metamask_blocks.mjs", f"ws://127.0.0.1:{door.port}/"], cwd=tmp_path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as client,
    ):  # fmt: skip
        try:
            assert client.stdout is not None
            heads = [client.stdout.readline()]
            for _ in range(10):
                grow(node)
                heads.append(client.stdout.readline())
            _replace(node, rival, [_raw(B, nonce, A.address) for nonce in range(11)])
            heads.append(client.stdout.readline())
            said, errors = client.communicate(timeout=60)
        finally:
            client.kill()
    assert client.returncode == 0, errors
    assert [int(head) for head in heads] == [*range(1, 13)] and not said
    for each in (node, rival):
        forget(each)
