"""Fixtures of the network tests: one Valkey per test process, and networks on it."""

from collections.abc import Iterator

import pytest
from redis import Redis

from services.connections.servers import connect_for_requests
from services.launch.embedded import EmbeddedValkey
from tests.network.ports import Network
from tests.support.servers import make_server
from tests.support.specs import make_spec


@pytest.fixture(scope="session", name="valkey_server")
def _valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with make_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def redis(valkey_server: EmbeddedValkey) -> Iterator[Redis]:
    """An empty database."""
    with connect_for_requests(valkey_server.url) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def network(redis: Redis) -> Network:
    """A network whose spec is `make_spec()`: any proof is valid, and 64 accounts have 1,000 coins each."""
    return Network(redis, make_spec())
