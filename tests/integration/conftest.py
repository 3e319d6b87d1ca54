"""Fixtures of the integration tests: a real Valkey per test process, nodes on it, and nodes of real processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from api.app import create_app
from services.launch.embedded import EmbeddedValkey
from services.node import Node
from tests.support.http import Client, FlaskDoor
from tests.support.keys import TOKEN
from tests.support.nodes import TestNode, forget, local_node
from tests.support.running import RunningNode
from tests.support.servers import connect, make_server

MakeNode = Callable[..., Node]
StartNode = Callable[..., RunningNode]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for this test process. Nodes on it have different names, and so different keys."""
    with make_server(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey.url


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A server for one module's tests. Its data directory is `valkey.directory`."""
    with make_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def redis(valkey: EmbeddedValkey) -> Redis:
    """An empty database, connected as the API connects."""
    return connect(valkey)


@pytest.fixture
def here(redis: Redis) -> TestNode:
    """A `TestNode` on an empty database."""
    return TestNode(redis)


@pytest.fixture
def make_node(redis_url: str, tmp_path: Path) -> Iterator[MakeNode]:
    """Make nodes in this process: `make_node(spec={…}, MIN_FEE="0.1")`. Their keys are removed afterwards."""
    made: list[Node] = []

    def make(spec: dict[str, Any] | None = None, **variables: str) -> Node:
        made.append(local_node(redis_url, tmp_path, spec, **variables))
        return made[-1]

    yield make
    for node in made:
        forget(node)


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A node in this process, with the settings of development."""
    return make_node()


@pytest.fixture
def client(node: Node) -> Client:
    """Flask's test client on `node`. No worker runs: the test mines."""
    return Client(FlaskDoor(create_app(node, TOKEN)))


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Start nodes of real processes, by the arguments of `RunningNode`; they are stopped after the test."""
    with ExitStack() as stack:
        count = 0

        def start(**arguments: Any) -> RunningNode:
            nonlocal count
            count += 1
            return stack.enter_context(RunningNode(tmp_path / f"node{count}", **arguments))

        yield start


@pytest.fixture
def running_node(start_node: StartNode) -> RunningNode:
    """A node of real processes for one test: API, two mining workers, network worker and ticker."""
    return start_node()


@pytest.fixture(scope="session")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node like `running_node` that many tests use, as starting one takes seconds.

    Take keys from `fresh_key`, expect blocks of other tests, and leave settings and processes alone.
    """
    with RunningNode(tmp_path_factory.mktemp("shared") / "node") as running:
        yield running
