"""`quarry rpc` as a program: refusals before it starts, a store that restarts, and its end."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from services.launch.embedded import EmbeddedValkey
from services.system.programs import module_command, scrubbed
from tests.support.door import Socket
from tests.support.http import Client, SocketDoor
from tests.support.nodes import grow, local_node
from tests.support.servers import free_port, make_server
from tests.support.waiting import eventually

CALL = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"}


@contextmanager
def _program(directory: Path, valkey: EmbeddedValkey, name: str, port: int) -> Iterator[subprocess.Popen[str]]:
    variables = {
        "QUARRY_NODE": name,
        "QUARRY_SPEC": str(directory / "spec.toml"),
        "QUARRY_REDIS_URL": valkey.url,
        "QUARRY_RPC_PORT": str(port),
        "QUARRY_DATA_DIR": str(directory),
    }
    with subprocess.Popen(
        module_command("api.cli", "rpc"), env=scrubbed(os.environ) | variables, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def _answers(client: Client) -> bool:
    with suppress(OSError):
        return bool("result" in client.post("/", CALL).ok())
    return False


def test_it_survives_the_store_and_ends_when_told(tmp_path: Path) -> None:
    with make_server(tmp_path / "valkey") as valkey:
        node = local_node(valkey.url, tmp_path)
        port = free_port()
        client = Client(SocketDoor(port))
        with _program(tmp_path, valkey, node.settings.node, port) as process:
            eventually(lambda: _answers(client), 60)
            with Socket(port) as one:
                one.subscribe("newHeads")
                grow(node)
                assert int(one.notice()[1]["number"], 16) == 2
                valkey.stop()
                assert one.ask("eth_blockNumber")["error"]["code"] == -32603
                client.get("/readyz").refused(503, "store_unavailable")
                valkey.start()
                eventually(lambda: "result" in one.ask("eth_blockNumber"), 30)
                blocks = [grow(node) for _ in range(3)]
                assert [one.notice()[1]["hash"] for _ in blocks] == [f"0x{block.hash}" for block in blocks]
                process.send_signal(signal.SIGTERM)
                closed = one.closing()
                assert (closed.code, closed.reason) == (1001, "the node is stopping")
            assert process.wait(10) == 0
            assert process.stderr is not None and "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("what", ["port", "chain", "store"])
def test_what_cannot_work_is_refused_in_a_line(tmp_path: Path, what: str) -> None:
    with make_server(tmp_path / "valkey") as valkey, socket.socket() as taken:
        node = local_node(valkey.url, tmp_path)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] if what == "port" else free_port()
        if what == "chain":
            text = (tmp_path / "spec.toml").read_text()
            (tmp_path / "spec.toml").write_text(text.replace("4242", "4243"))
        elif what == "store":
            valkey.stop()
        with _program(tmp_path, valkey, node.settings.node, port) as process:
            _, said = process.communicate(timeout=60)
    assert process.returncode == {"port": 2, "chain": 1, "store": 1}[what]
    assert "Traceback" not in said
    word = {"port": f"Port {port} on 127.0.0.1 is in use", "chain": "genesis block", "store": "QUARRY_REDIS_URL"}[what]
    assert word in said.splitlines()[-1], json.dumps(said)
