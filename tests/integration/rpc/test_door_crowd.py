"""Many WebSockets at once, of which half never read: the others are told every head, and the process stays small."""

import os
import subprocess
from pathlib import Path

import pytest

from services.system.programs import module_command, scrubbed
from tests.support.door import Socket
from tests.support.http import Client, SocketDoor
from tests.support.nodes import grow, local_node
from tests.support.processes import linux_only
from tests.support.servers import free_port, make_server
from tests.support.waiting import eventually

CALL = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"}


def _answers(client: Client) -> bool:
    try:
        return "result" in client.post("/", CALL).ok()
    except OSError:
        return False


def _megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@linux_only
@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_half_of_all_never_read(tmp_path: Path, count: int) -> None:
    blocks = 30
    with make_server(tmp_path / "valkey") as valkey:
        node = local_node(valkey.url, tmp_path)
        port = free_port()
        variables = {
            "QUARRY_NODE": node.settings.node,
            "QUARRY_SPEC": str(tmp_path / "spec.toml"),
            "QUARRY_REDIS_URL": valkey.url,
            "QUARRY_RPC_PORT": str(port),
            "QUARRY_DATA_DIR": str(tmp_path),
        }
        client = Client(SocketDoor(port))
        with subprocess.Popen(
            module_command("api.cli", "rpc"), env=scrubbed(os.environ) | variables, start_new_session=True
        ) as process:
            sockets: list[Socket] = []
            try:
                eventually(lambda: _answers(client), 60)
                before = _megabytes(process.pid)
                sockets = [Socket(port, receive_buffer=4096) for _ in range(count)]
                grown = _megabytes(process.pid) - before
                assert grown < 0.06 * count + 2, f"{count} idle WebSockets take {grown:.0f} MB"
                for one in sockets:
                    one.subscribe("newHeads")
                told = [grow(node).hash for _ in range(blocks)]
                readers = sockets[: count // 2]
                for one in readers:
                    assert [one.notice()[1]["hash"] for _ in told] == [f"0x{name}" for name in told]
                assert _answers(client)
                grown = _megabytes(process.pid) - before
                assert grown < 0.2 * count + 10, f"{count} WebSockets of which half never read take {grown:.0f} MB"
            finally:
                for one in sockets:
                    one.socket.close()
                process.terminate()
            assert process.wait(10) == 0
