"""A data directory of an earlier release starts under this one.

tests/vectors/data_directory.tar.gz was made by `quarry up` of commit 6b5c69b, before the modules moved into their
rooms, on the chain `dev`: six blocks, three transactions of the faucet that wait, two mining requests that wait, and an
open round. Its processes were ended by SIGKILL.
"""

import json
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from services.connections.servers import connect_for_requests
from services.launch.embedded import EmbeddedValkey
from services.store.keys import Keys
from services.system.programs import ROOT
from tests.support.commands import done, get, launched
from tests.support.waiting import eventually

ARCHIVE = ROOT / "tests" / "vectors" / "data_directory.tar.gz"
TIP = "00008a8caac0c0eabb1f454247c9382a33587b6444cdd8fb4b39c63d81a3bcec"  # at height 6
NODE = "0x10575ADE06933E975468b3371df0F71Ca20CFE10"
WAITING = (
    "1073157479fd704879dfc7e9563a630e78eeee90f2a857b17b3891a242340f36",
    "695650e27fa54b376912857246380e9e9f6746058eaa0dce691a232b8edbb487",
    "3cf401d3b867bb6810e3031b8b6117a7fe876a064df7dab227eff44f2303baaf",
)


def test_a_directory_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python has it from 3.11.4 on
        archive.extractall(tmp_path)
    admit_again(tmp_path / "dev" / "node1" / "valkey")
    with launched(tmp_path) as (_, ready):
        url = ready["nodes"][0]["url"]
        assert ready["nodes"][0]["address"] == NODE
        assert get(f"{url}/blocks/6")["hash"] == TIP
        # The round goes on, and answers the requests; what waited is mined.
        eventually(lambda: get(f"{url}/status")["requests"] == 0)
        status = get(f"{url}/status")
        assert status["ledger"] == {"state": "ok"} and status["mempool"]["size"] == 0 and status["height"] == 8
        for identifier in WAITING:
            assert get(f"{url}/transactions/{identifier}")["status"] == "confirmed"
        assert get(f"{url}/accounts/0xa0Ee7A142d267C1f36714E4a8F75612F20a79720")["balance"] == "10030"
        assert done(tmp_path, "mine")[0]["index"] == 9
        assert_events_add_up(f"{url}/rpc")
        assert done(tmp_path, "chain", "verify")["height"] == 9
        found = {item["check"]: item["verdict"] for item in done(tmp_path, "doctor")}
        assert found["chain"] == found["store"] == "ok"


def admit_again(store: Path) -> None:
    """Have what waits wait since now: it expires after a day, and the ticker may be quicker than the round."""
    expiry, now = Keys("node1").expiry, time.time()
    with EmbeddedValkey(store, durability="always") as server, connect_for_requests(server.url) as redis:
        assert set(redis.zrange(expiry, 0, -1)) == {identifier.encode() for identifier in WAITING}
        redis.zadd(expiry, dict.fromkeys(WAITING, now), xx=True)


def assert_events_add_up(url: str) -> None:
    """Events are made from blocks when they are read, so those of older blocks add up as well."""

    def rpc(method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = Request(url, body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)["result"]

    logs = rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    balances: Counter[str] = Counter()
    for log in logs:
        source, target = ("0x" + topic[26:] for topic in log["topics"][1:])
        balances[source] -= int(log["data"], 16)
        balances[target] += int(log["data"], 16)
    assert {log["blockNumber"] for log in logs} == {"0x0", *(hex(height) for height in range(2, 10))}
    supply = -balances.pop("0x" + "00" * 20)
    assert supply == sum(balances.values()) == 100_008 * 10**18 and len(balances) > 10
    for address, balance in balances.items():
        assert int(rpc("eth_getBalance", address, "latest"), 16) == balance, address
