"""What workers know of nodes: a card in the broker, laid over the worker's own settings."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeRedis

from services.connections.servers import as_store
from services.errors import NotFound
from services.registry import Unserved, look_up, register
from services.settings.table import Settings, load
from services.store.keys import NODES

BROKER = "redis://127.0.0.1:6379/0"
# Settings of a process rather than of its node: each worker has its own, and secrets are not passed on.
OWN = {
    "broker_url", "host", "port", "data_dir", "admin_token_file", "mine_wait", "max_body", "api_processes",
    "api_threads", "kernel", "linger", "durability", "unsafe_development", "allowed_hosts", "cors_origins",
    "log_level", "log_format",
}  # fmt: skip


@pytest.fixture
def broker() -> FakeRedis:
    return FakeRedis()


def node_settings(**variables: str) -> Settings:
    given = {
        "QUARRY_NODE": "first",
        "QUARRY_SPEC": "network",
        "QUARRY_REWARD_ADDRESS": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "QUARRY_AUTOMINE": "true",
        "QUARRY_MIN_FEE": "0.000000000000000007",
        "QUARRY_MAX_MEMPOOL": "11",
        "QUARRY_NONCES_AHEAD": "12",
        "QUARRY_MEMPOOL_EXPIRY": "13",
        "QUARRY_RECORD_SECONDS": "14",
        "QUARRY_MAX_RECORDS": "15",
        "QUARRY_MAX_MINE_REQUESTS": "16",
        "QUARRY_RESOLVE_SECONDS": "17",
        "QUARRY_PEERS": "http://a:1,http://b:2",
        "QUARRY_MAX_PEERS": "18",
        "QUARRY_PRIVATE_PEERS": "true",
        "QUARRY_PEER_PROXY": "http://me:secret@proxy:3128",
        "QUARRY_PEER_PROXY_RESOLVES": "true",
        "QUARRY_HOST": "10.0.0.1",
        "QUARRY_PORT": "5999",
        "QUARRY_KERNEL": "fast",
        "QUARRY_ADMIN_TOKEN_FILE": "/run/secret",
    }
    return load({**given, **{f"QUARRY_{name.upper()}": value for name, value in variables.items()}})


def test_a_worker_serves_a_node_by_its_card(broker: FakeRedis) -> None:
    node, own = node_settings(), load({"QUARRY_KERNEL": "plain", "QUARRY_DATA_DIR": "/worker"})
    register(as_store(broker), node)
    served = look_up(as_store(broker), "first", own)
    for field in dataclasses.fields(Settings):
        expected = own if field.name in OWN else node
        assert getattr(served, field.name) == getattr(expected, field.name), field.name
    assert served.spec.hash == node.spec.hash
    assert served.data_dir == Path("/worker")


def test_a_card_holds_no_secret(broker: FakeRedis) -> None:
    register(as_store(broker), node_settings())
    card: dict[str, Any] = json.loads(broker.hget(NODES, "first") or b"")
    assert "/run/secret" not in json.dumps(card)
    assert not OWN & card.keys()


def test_one_redis_for_chain_and_broker_is_reached_as_each_worker_reaches_it(broker: FakeRedis) -> None:
    register(as_store(broker), node_settings())
    own = load({"QUARRY_REDIS_URL": "redis://broker.internal:1/0"})
    assert look_up(as_store(broker), "first", own).redis_url == "redis://broker.internal:1/0"


def test_a_chain_of_its_own_is_reached_where_the_node_says(broker: FakeRedis) -> None:
    register(as_store(broker), node_settings(redis_url="redis://chain:1/0", broker_url=BROKER))
    assert look_up(as_store(broker), "first", load({})).redis_url == "redis://chain:1/0"


def test_a_worker_gets_no_login_that_it_does_not_have(broker: FakeRedis) -> None:
    """Where store and broker have one login, the card has none, and each worker uses its own of the broker."""
    node = node_settings(
        redis_url="redis://quarry:the-nodes@chain:1/0", broker_url="redis://quarry:the-nodes@broker:1/0"
    )
    register(as_store(broker), node)
    assert b"the-nodes" not in (broker.hget(NODES, "first") or b"")
    for login in ("miner:the-miners@", "quarry:the-nodes@", ":p%40w@"):
        own = load({"QUARRY_BROKER_URL": f"redis://{login}elsewhere:2/0"})
        assert look_up(as_store(broker), "first", own).redis_url == f"redis://{login}chain:1/0"


@pytest.mark.parametrize("login", ["", "other:secret@", "quarry:other@"])
def test_a_login_of_the_chain_alone_is_on_the_card(broker: FakeRedis, login: str) -> None:
    node = node_settings(redis_url=f"redis://{login}chain:1/0", broker_url="redis://quarry:secret@broker:1/0")
    register(as_store(broker), node)
    own = load({"QUARRY_BROKER_URL": "redis://quarry:secret@broker:1/0"})
    assert look_up(as_store(broker), "first", own).redis_url == f"redis://{login}chain:1/0"


def test_an_unknown_node_is_not_found(broker: FakeRedis) -> None:
    register(as_store(broker), node_settings())
    with pytest.raises(NotFound):
        look_up(as_store(broker), "second", load({}))


def test_a_new_card_replaces_the_old_one(broker: FakeRedis) -> None:
    register(as_store(broker), node_settings())
    register(as_store(broker), node_settings(max_mempool="99"))
    register(as_store(broker), node_settings(node="second"))
    assert look_up(as_store(broker), "first", load({})).max_mempool == 99
    assert broker.hlen(NODES) == 2


def write_card(broker: FakeRedis, *, without: str = "", **more: Any) -> None:
    """Register the node `first`, and change its card to one of another release."""
    register(as_store(broker), node_settings())
    card: dict[str, Any] = json.loads(broker.hget(NODES, "first") or b"") | more
    card.pop(without, None)
    broker.hset(NODES, "first", json.dumps(card))


def test_a_setting_that_an_older_release_does_not_write_is_the_workers_own(broker: FakeRedis) -> None:
    write_card(broker, without="max_records")
    served = look_up(as_store(broker), "first", load({"QUARRY_MAX_RECORDS": "77"}))
    assert served.max_records == 77
    assert served.max_mempool == 11


@pytest.mark.parametrize("name", ["spec", "redis_url"])
def test_a_card_that_does_not_say_which_chain_is_refused(broker: FakeRedis, name: str) -> None:
    write_card(broker, without=name)
    with pytest.raises(Unserved, match=f"the setting {name}"):
        look_up(as_store(broker), "first", load({}))


def test_a_setting_of_a_later_release_is_passed_over(broker: FakeRedis) -> None:
    write_card(broker, invented_later=1)
    assert look_up(as_store(broker), "first", load({})).max_mempool == 11
