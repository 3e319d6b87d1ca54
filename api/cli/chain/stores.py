"""Finding the store of a node, and opening a node on it beside the processes that serve it."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from api.cli.client import NodeClient
from api.cli.group import Failure
from api.cli.options import home, running_node
from services.node import Node
from shared.chain_spec import ChainSpec
from shared.rules import Rules


def configured_spec(spec: str | None) -> ChainSpec:
    """The chain spec as given, or QUARRY_SPEC, or `dev`, with the upgrades of QUARRY_UPGRADES_FILE.

    Raises:
        BadSettings: a file cannot be used, or too few sealers have signed the upgrades.
    """
    from services.settings.table import load, load_spec

    if spec:
        load_spec(spec, "--spec")  # so that what is wrong with it is said of the option
    given = {"QUARRY_SPEC": spec or os.environ.get("QUARRY_SPEC") or "dev"}
    return load(given | {name: os.environ[name] for name in ("QUARRY_UPGRADES_FILE",) if os.environ.get(name)}).spec


def node_on(redis: Any, redis_url: str, name: str, spec: ChainSpec, rules: Rules | None = None) -> Node:
    """The node `name` on the store `redis`, which `redis_url` names. This alone writes nothing.

    Args:
        rules: of the spec; None for the usual ones.
    """
    from services.connections.servers import as_store
    from services.jobs.queues import RqJobs
    from services.node import build_node
    from services.settings.table import load

    settings = load({"QUARRY_NODE": name, "QUARRY_REDIS_URL": redis_url})
    return build_node(replace(settings, spec=spec), rules=rules, store=as_store(redis), queue=RqJobs(redis))


def noted_upgrades(node: Node) -> list[tuple[int, str]]:
    """Height and digest of each upgrade that a node had at its last start."""
    return [(int(height), str(digest)) for height, digest in json.loads(node.chain.noted_upgrades() or "[]")]


def other_upgrades(name: str, height: int, of: str) -> Failure:
    """What is said where the upgrades of a node are not those `of` something, from a height on."""
    return Failure(
        f"The upgrades of the node {name} differ from those of {of} from height {height} on, so nothing was done: set "
        "QUARRY_UPGRADES_FILE to the file of upgrades of this chain, for the node and for this command."
    )


def store_of(client: NodeClient) -> str | None:
    """The URL of the store of the node that `client` talks to; None unless `quarry up` runs it on this machine."""
    found = running_node(client.url)
    return None if found is None else found[1].redis_url


@contextlib.contextmanager
def node_store(spec: ChainSpec, name: str, redis_url: str | None) -> Iterator[str]:
    """The URL of a node's store.

    Args:
        redis_url: the URL, if it is known. Otherwise the node is one in the data directory; if it is stopped, its
            embedded Valkey runs until the context ends.

    Raises:
        Failure: there is no such node in the data directory.
    """
    if redis_url is not None:
        yield redis_url
        return
    from services.launch.embedded import EmbeddedValkey
    from services.launch.node_files import is_alive, node_files

    files = node_files(home(), spec.name, name)
    record = files.read_record()
    if record is not None and is_alive(record):
        yield record.redis_url
        return
    if not files.directory.is_dir():
        raise Failure(f"There is no node at {files.directory}: start it once with `quarry up`, or use --redis-url.")
    with EmbeddedValkey(files.valkey) as valkey:
        yield valkey.url


def require_store(redis_url: str) -> None:
    """Ask the store whether it can be used, with a short time limit: a person waits for the answer.

    Raises:
        BadSettings, StoreUnavailable: as `require_usable`.
    """
    from services.connections.servers import connect_for_requests, require_usable

    with connect_for_requests(redis_url) as probe:
        require_usable(probe, "--redis-url")


@contextlib.contextmanager
def store_failures() -> Iterator[None]:
    """Turn what a store's client raises into a `Failure`."""
    from services.connections.servers import RedisError

    try:
        yield
    except (RedisError, ValueError) as error:
        raise Failure(f"The store does not answer or refuses the command ({type(error).__name__}).") from None
