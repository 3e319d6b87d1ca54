"""Going back on a node of real processes, while its workers mine."""

import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest

from services.audit.full import FullAudit
from services.connections.servers import as_store
from services.node import build_node
from services.system.programs import ROOT
from tests.integration.conftest import StartNode
from tests.support.http import Json
from tests.support.keys import KEYS
from tests.support.nodes import transfer
from tests.support.queues import RecordingQueue
from tests.support.running import SERVE, RunningNode
from tests.support.waiting import eventually


def rpc(running: RunningNode, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    answer = running.client.door.call("POST", "/rpc", body, Content_Type="application/json").ok()
    assert "result" in answer, answer
    return answer["result"]


def height(running: RunningNode) -> int:
    return int(rpc(running, "eth_blockNumber"), 16)


def send(running: RunningNode, item: Json) -> str:
    return running.client.submit(item)


def status(running: RunningNode, name: str) -> str:
    return str(running.client.get(f"/transactions/{name}").ok()["status"])


def audited(running: RunningNode) -> None:
    with running.redis() as redis:
        node = build_node(running.settings, store=as_store(redis), queue=RecordingQueue())
        assert FullAudit(node.chain, node.rules, node.clock).certain().findings == []


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("turns", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_reverts_while_workers_mine(start_node: StartNode, turns: int) -> None:
    """Auto-mining mines what comes after a snapshot, and never again what a revert has taken away."""
    running = start_node(variables={"AUTOMINE": "1"})
    payer, payee = KEYS[0], KEYS[1]
    before = send(running, transfer(payer, 0))
    eventually(lambda: status(running, before) == "confirmed")
    first = running.client.get(f"/accounts/{payee.address}").ok()["balance"]
    for turn in range(turns):
        taken, began = rpc(running, "evm_snapshot"), height(running)
        names = [send(running, transfer(payer, nonce, fee=f"0.1{turn:02d}1")) for nonce in range(1, 8)]
        if turn % 2:  # else the workers are in the middle of it
            eventually(lambda names=names: {status(running, name) for name in names} == {"confirmed"})
        assert rpc(running, "evm_revert", taken) is True
        assert height(running) == began
        assert {status(running, name) for name in names} == {"reverted"}
        assert running.client.get(f"/accounts/{payee.address}").ok()["balance"] == first
    assert [rpc(running, "eth_getTransactionReceipt", f"0x{name}") for name in names] == [None] * 7
    after = send(running, transfer(payer, 1))
    eventually(lambda: status(running, after) == "confirmed")
    assert {status(running, name) for name in names} == {"reverted"} and height(running) == began + 1
    audited(running)

    # A fork by its command, with real workers; the difficulty is 64.
    block = running.client.get(f"/transactions/{after}").ok()["block"]
    command = [sys.executable, "-m", "api.cli", "fork", "--url", f"http://127.0.0.1:{running.door.port}", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "QUARRY_DATA_HOME": str(running.directory)}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    forked = json.loads(result.stdout)
    assert forked["detached"] == [f"0x{block}"] and len(forked["attached"]) == 1
    assert running.client.get(f"/transactions/{after}").ok()["block"] == forked["attached"][0][2:] != block
    dropped = subprocess.run(
        [*command, "--drop", after], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert dropped.returncode == 0, dropped.stderr
    assert status(running, after) == "dropped" and height(running) == began + 1
    audited(running)

    # A snapshot survives the API process.
    taken = rpc(running, "evm_snapshot")
    last = send(running, transfer(payer, 1, fee="0.5"))
    eventually(lambda: status(running, last) == "confirmed")
    os.kill(running.processes["api"].pid, signal.SIGKILL)
    running.processes["api"].wait()
    eventually(lambda: not listens(running.door.port), what="the end of the server's other processes")
    running._launch("api", SERVE)
    eventually(running._is_ready, 30)
    assert rpc(running, "evm_revert", taken) is True and status(running, last) == "reverted"
    audited(running)
