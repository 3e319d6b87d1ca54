"""What wallets are made of, against a node of real processes: web3.py, ethers and viem where Node.js is, and cast."""

import functools
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.wallet.development import ACCOUNTS
from tests.clients.packages import HERE
from tests.support.running import RunningNode

TOKEN = "0x0000000000000000000000000000000000005eed"
KEYS = [account.private_key for account in ACCOUNTS]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JSON-RPC of a development node that mines whatever is sent."""
    variables = {"SPEC": "dev", "AUTOMINE": "true"}
    with RunningNode(tmp_path_factory.mktemp("clients") / "node", workers=1, variables=variables) as node:
        yield f"http://127.0.0.1:{node.door.port}/rpc"


def run(*command: str) -> None:
    """Run a client's script; what it says if it fails."""
    found = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=90, check=False)
    assert found.returncode == 0, (found.stdout + found.stderr)[-6000:]


@pytest.mark.parametrize(("script", "owner", "spender"), [("ethers.mjs", 0, 1), ("viem.mjs", 2, 3)])
def test_javascript_libraries(url: str, node_modules: None, script: str, owner: int, spender: int) -> None:
    run("node", script, url, KEYS[owner], KEYS[spender])


def test_the_test_client_of_viem(url: str, node_modules: None) -> None:
    run("node", "viem_modes.mjs", url, KEYS[4])


def test_cast(url: str, cast: str) -> None:
    (owner, key), (spender, other_key) = ((item.address, item.private_key) for item in ACCOUNTS[6:8])

    def ask(*arguments: str, key: str = "", fails: bool = False) -> str:
        command = [cast, *arguments, "--rpc-url", url, *(["--private-key", key] if key else [])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        # The exit code of the npm package is always 0.
        assert ("Error:" in done.stderr) == fails, done.stdout + done.stderr
        return (done.stderr if fails else done.stdout).strip()

    send = functools.partial(ask, "send", "--json")
    call = functools.partial(ask, "call", TOKEN)
    assert ask("chain-id") == "847731"
    assert [call(f"{name}()(string)") for name in ("name", "symbol")] == ['"Quarry"', '"QRY"']
    before = int(ask("balance", spender))
    for kind in ([], ["--legacy"]):
        receipt = json.loads(send(*kind, "--value", "1.5ether", spender, key=key))
        assert (receipt["status"], receipt["type"]) == ("0x1", "0x0" if kind else "0x2")
    assert int(ask("balance", spender)) == before + 3 * 10**18
    assert json.loads(send(TOKEN, "approve(address,uint256)", spender, "1000", key=key))["status"] == "0x1"
    moved = json.loads(send(TOKEN, "transferFrom(address,address,uint256)", owner, spender, "600", key=other_key))
    assert [int(log["data"], 16) for log in moved["logs"]] == [600]
    assert call("allowance(address,address)(uint256)", owner, spender) == "400"
    assert ask("estimate", TOKEN, "transfer(address,uint256)", spender, "5", "--from", owner) == "60000"
    refused = send(TOKEN, "transferFrom(address,address,uint256)", owner, spender, "600", key=other_key, fails=True)
    assert "execution reverted: ERC20: insufficient allowance" in refused
    logs = json.loads(ask("logs", "--json", "--from-block", moved["blockNumber"], "--address", TOKEN))
    assert moved["transactionHash"] in [log["transactionHash"] for log in logs]

    # Block 0 is the chain spec.
    spec = json.loads(ask("block", "0", "--json"))
    assert (spec["number"], spec["parentHash"]) == ("0x0", "0x" + "00" * 32)
    assert json.loads(ask("block", "earliest", "--json"))["hash"] == spec["hash"]
    assert json.loads(ask("block", "1", "--json"))["parentHash"] == spec["hash"]
    assert ask("chain") == "unknown"  # it asks for block 0, and knows the names of Ethereum's chains
    assert ask("age", "--block", "0") == ask("age", "--block", "1")
    allocating = json.loads(ask("receipt", "--json", spec["transactions"][0]))
    assert (allocating["blockHash"], len(allocating["logs"])) == (spec["hash"], 10)
    assert json.loads(ask("logs", "--json", "--from-block", "0", "--to-block", "0")) == allocating["logs"]
    assert ask("balance", owner, "--block", "0") == ask("balance", owner, "--block", "earliest") == str(10**22)


def test_web3_py(url: str) -> None:
    if importlib.util.find_spec("web3") is None:
        pytest.skip("web3 is not installed (the extra `test`)")
    # A process of its own: its import takes a second, and warns.
    run(sys.executable, "-P", str(HERE / "web3py.py"), url, KEYS[4], KEYS[5])
