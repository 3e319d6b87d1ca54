"""`QuarryNode` and `QuarryNetwork`: what they start, what they know, and how they end."""

import stat
from pathlib import Path

import pytest

from quarrynode import NodeFailed, QuarryError, QuarryNetwork, QuarryNode, wire
from quarrynode.process import Command
from tests.support.processes import alive
from tests.support.waiting import eventually
from tests.unit.quarrynode.conftest import FAKE, Fake


def test_a_node_knows_where_it_is(fake: Fake) -> None:
    with fake.node() as node:
        assert node.url.startswith("http://127.0.0.1:")
        assert (node.rpc_url, node.ws_url) == (f"{node.url}/rpc", None)
        assert (node.name, node.address, node.chain_id, node.logs) == ("node1", "0x01", 847731, Path("/logs/node1"))
        assert [(item.address, item.private_key) for item in node.accounts] == [("0x02", "0x03")]
        assert node.pid == fake.log()["pid"]
        assert "0x03" not in repr(node.accounts), "a key does not get into the output of a failed assertion"


def test_the_addresses_of_a_door_of_its_own_are_used(fake: Fake) -> None:
    with fake.node("with door") as node:
        assert node.rpc_url == f"{node.url}/rpc"
        assert node.ws_url == "ws://127.0.0.1:8545"


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({}, []),
        ({"accounts": 20}, ["--accounts", "20"]),
        ({"block_time": 2}, ["--block-time", "2"]),
        ({"block_time": 0.5}, ["--block-time", "0.5"]),
        ({"automine": False}, ["--no-automine"]),
        ({"load_state": Path("a b"), "dump_state": "c"}, ["--load-state", "a b", "--dump-state", "c"]),
        ({"arguments": ("--spec", "tutorial")}, ["--spec", "tutorial"]),
    ],
)
def test_arguments_become_options(fake: Fake, given: dict[str, object], options: list[str]) -> None:
    with fake.node(data_dir="/tmp/x", **given):
        pass
    fixed = ["up", "--json", "--until-eof", "--data-dir", "/tmp/x", "--port", "0"]
    assert fake.log()["arguments"] == [*fixed, *options]


def test_settings_of_the_user_do_not_reach_the_node(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_SPEC", "network")
    monkeypatch.setenv("OF_THE_USER", "kept")
    with fake.node(environment={"QUARRY_MIN_FEE": "0.1"}):
        environment = fake.log()["environment"]
    assert {name: value for name, value in environment.items() if name.startswith("QUARRY_")} == {
        "QUARRY_MIN_FEE": "0.1"
    }
    assert environment["OF_THE_USER"] == "kept"


def test_a_temporary_directory_is_private_and_is_removed(fake: Fake) -> None:
    with fake.node():
        arguments = fake.log()["arguments"]
        directory = Path(arguments[arguments.index("--data-dir") + 1])
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        (directory / "file").touch()
    assert not directory.exists()


def test_a_directory_of_the_callers_stays(fake: Fake, tmp_path: Path) -> None:
    with fake.node(data_dir=tmp_path):
        pass
    assert tmp_path.exists()


def test_an_attribute_before_the_start_says_what_is_missing(fake: Fake) -> None:
    node = fake.node()
    with pytest.raises(AttributeError, match="known once the node runs"):
        _ = node.url
    with pytest.raises(AttributeError, match="has no attribute urll"):
        _ = node.urll
    assert node.pid is None
    node.stop()


def test_an_error_in_the_block_is_the_one_that_is_seen(fake: Fake) -> None:
    with pytest.raises(ZeroDivisionError), fake.node("fails at the end") as node:
        pid = node.pid
        _ = 1 / 0
    assert pid is not None and not alive(pid)


def test_a_command_that_fails_at_its_end_is_an_error(fake: Fake) -> None:
    with (
        pytest.raises(NodeFailed, match=r"exit code 1\.\n  quarry: The state was not written"),
        fake.node("fails at the end"),
    ):
        pass


def test_a_node_can_be_stopped_early_and_twice_and_started_again(fake: Fake) -> None:
    with fake.node() as node:
        first = node.pid
        node.stop()
        node.stop()
        assert node.pid is None and first is not None and not alive(first)
        node.start()
        assert node.pid != first
        with pytest.raises(NodeFailed, match="was started already"):
            node.start()
    assert node.pid is None


def test_a_node_that_has_ended_says_so_where_it_is_asked(fake: Fake) -> None:
    with pytest.raises(NodeFailed) as found, fake.node("dies") as node:
        pid = node.pid
        assert pid is not None
        eventually(lambda: not alive(pid))
        node.status()
    assert str(found.value).endswith("ended with exit code 1.\n  quarry: The data are damaged.")


def test_a_node_that_is_no_node_is_left_running_by_nobody(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Command, "start", lambda *_: {"nodes": [{"name": "node1"}]})
    stopped = []
    monkeypatch.setattr(Command, "stop", lambda *_: stopped.append(1))
    with pytest.raises(KeyError):
        fake.node().start()
    assert stopped == [1]


def test_a_network_has_a_view_of_each_node(fake: Fake) -> None:
    with QuarryNetwork(3, FAKE, automine=False, environment=fake.environment()) as network:
        assert [node.name for node in network.nodes] == ["node1", "node2", "node3"]
        assert [str(node.logs) for node in network.nodes] == [f"/logs/node{number}" for number in (1, 2, 3)]
        assert network.nodes[1].status()["height"] == 1
        assert fake.log()["arguments"][-6:] == ["--port", "0", "--nodes", "3", "--links", "--no-automine"]
        pid = network.pid
    assert pid is not None and not alive(pid)


def test_the_links_of_a_network_are_changed_by_the_router(fake: Fake) -> None:
    network = QuarryNetwork(2, FAKE, environment=fake.environment())
    with pytest.raises(QuarryError, match="does not run"):
        network.heal()
    with network:
        network.partition([1], (2,))
        network.link(1, 2).set(latency=0.1, rate=0)
        network.link(2, 1).cut()
        network.link(2, 1).restore()
        network.heal()
        with pytest.raises(QuarryError, match=r"There is no node 9\."):
            network.partition([9])
        asked = wire.ask(f"{network.nodes[0].url}/controls", timeout=10)
    assert asked == [
        {"call": "partition", "groups": [[1], [2]]},
        {"call": "link", "from": 1, "to": 2, "latency": 0.1, "rate": 0},
        {"call": "link", "from": 2, "to": 1, "cut": True},
        {"call": "link", "from": 2, "to": 1, "cut": False},
        {"call": "heal"},
    ]
    with pytest.raises(QuarryError, match="does not run"):
        network.heal()


def test_what_takes_part_in_the_start_is_a_keyword() -> None:
    """The command is the only argument that has a place: the others can be added to later."""
    with pytest.raises(TypeError):
        QuarryNode(("quarry",), 20)  # type: ignore[misc]
