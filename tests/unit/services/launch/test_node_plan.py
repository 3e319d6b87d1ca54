"""What `quarry up` starts: ports, names of wallets, environments and keys, before any process runs."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.launch.failures import PortInUse
from services.launch.launcher import RunningNode
from services.launch.node_files import NodeFiles
from services.launch.node_plan import NodePlan, passed_settings
from services.system.programs import scrubbed
from services.wallet import keyring
from tests.support.fake_node import FakeNode

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def node() -> Iterator[FakeNode]:
    fake = FakeNode()
    yield fake
    fake.close()


def plan(tmp_path: Path, **change: Any) -> NodePlan:
    return NodePlan("node1", NodeFiles(tmp_path / "node1"), "dev", **{"port": 0, **change})


def test_a_port_in_use_is_refused_before_anything_is_made(node: FakeNode, tmp_path: Path) -> None:
    running = RunningNode(plan(tmp_path, port=int(node.url.rpartition(":")[2])))
    with pytest.raises(PortInUse, match="in use"):
        running.allocate()
    running.stop()
    assert not (tmp_path / "node1").exists()


def test_nodes_that_start_together_take_the_next_free_rpc_port_unless_one_is_asked_for(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first = taken.getsockname()[1]
        nodes = [
            RunningNode(plan(tmp_path / str(number), rpc_port=first, rpc_port_is_asked=False)) for number in range(2)
        ]
        exact = RunningNode(plan(tmp_path / "exact", rpc_port=first, rpc_port_is_asked=True))
        try:
            for node in nodes:
                node.allocate()
            assert first < nodes[0].rpc_port < nodes[1].rpc_port
            assert nodes[0].rpc_url == f"http://127.0.0.1:{nodes[0].rpc_port}"
            assert nodes[0].ws_url == f"ws://127.0.0.1:{nodes[0].rpc_port}"
            with pytest.raises(PortInUse, match=rf"Port {first} on 127\.0\.0\.1 is in use: .* --rpc-port\."):
                exact.allocate()
        finally:
            for node in (*nodes, exact):
                node.stop()


def test_a_node_shows_the_names_of_wallets_only_where_it_is_told_which(tmp_path: Path) -> None:
    def directory(**change: Any) -> str:
        return plan(tmp_path, **change).environment("", 5000, "redis://h")["QUARRY_NAMED_WALLETS"]

    assert directory() == ""
    assert directory(wallets=tmp_path) == str(tmp_path)
    assert directory(wallets=tmp_path, settings={"QUARRY_NAMED_WALLETS": "/others"}) == "/others"


def test_settings_of_the_client_stay_out_of_the_node() -> None:
    given = {"QUARRY_KERNEL": "plain", "QUARRY_PASSPHRASE": "horse", "QUARRY_TOKEN": "t", "PATH": "/bin", "SECRET": "s"}
    assert passed_settings(given) == {"QUARRY_KERNEL": "plain"}


def test_a_nodes_environment_has_no_secrets_of_ours() -> None:
    given = {"PATH": "/bin", "AWS_SECRET": "s", "QUARRY_PASSPHRASE": "horse", "LC_ALL": "C", "HOME": "/root"}
    assert {name: value for name, value in scrubbed(given).items() if name != "PYTHONPATH"} == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "HOME": "/root",
    }


def test_keys_and_token_are_made_once_and_private(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path / "dev" / "node1")
    address = files.prepare()
    token = files.admin_token.read_text()
    assert files.prepare() == address
    assert files.admin_token.read_text() == token
    assert files.admin_token.stat().st_mode & 0o777 == 0o600
    assert len(token) > 40
    files.admin_token.chmod(0o640)
    with pytest.raises(keyring.UnsafePermissions, match="admin-token"):
        files.prepare()
