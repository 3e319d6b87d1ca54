"""What `quarry backup` reads: a node whose store can be reached, running or stopped, or a node elsewhere over HTTP."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from api.cli.chain.stores import configured_spec, node_on, noted_upgrades, other_upgrades, require_store
from api.cli.client import NodeClient
from api.cli.group import Failure
from api.cli.options import home, running_node
from api.cli.wallet.wallet_store import wallets_directory
from services.backup.key_files import KeyPlaces
from services.launch.node_files import NodeFiles, node_files, running_nodes
from services.launch.reset import nodes_in
from services.settings.values import NODE_NAME
from services.wallet import keyring
from shared.chain_spec import ChainSpec
from shared.errors import RuleError
from shared.rules import rules_for
from shared.upgrades import parting

MOST_RECORDS = 500_000  # of the latest; a node forgets them after a while anyhow


@dataclass(frozen=True, slots=True)
class Records:
    """What a node keeps beside its chain, as it was before the chain was read."""

    waiting: list[bytes]  # canonical transactions, in the order of their arrival
    left: list[tuple[str, dict[str, Any]]]  # ids of transactions that left the mempool, and their records
    names: dict[str, str]  # address → name
    items: list[tuple[str, Any]] = field(default_factory=list)  # kind and value, of services/store/accounting.py


class Source(Protocol):
    """A node that is backed up. Its methods raise `Failure`, `TipMoved` or what the store's client raises."""

    @property
    def name(self) -> str:
        """The node's name."""

    @property
    def spec(self) -> ChainSpec:
        """Its chain spec."""

    @property
    def keys(self) -> KeyPlaces | None:
        """Where its secrets are; None: on another machine."""

    def records(self) -> Records | None:
        """Its mempool, records, names, tokens, vouchers and payouts; None: they cannot be read from here."""

    def tip(self) -> tuple[int, str]:
        """Height and hash of its tip."""

    def hash_at(self, height: int) -> str | None:
        """The hash of the block of its chain at a height."""

    def kept_from(self) -> int:
        """The height of the first block from which on it has all bodies."""

    def blocks(self, height: int) -> Iterator[bytes]:
        """Its canonical blocks from genesis to a height."""


class StoreSource:
    """A node's store. Nothing is written to it."""

    def __init__(self, redis: Any, redis_url: str, name: str, spec: ChainSpec, keys: KeyPlaces | None) -> None:
        from services.connections.servers import as_store
        from services.store.accounting import AccountingStore
        from services.store.state import StateStore

        self.name, self.spec, self.keys = name, spec, keys
        self._node = node_on(redis, redis_url, name, spec)
        self._states = StateStore(as_store(redis), self._node.chain.keys)
        self._accounting = AccountingStore(as_store(redis), self._node.chain.keys)
        if self._node.chain.hash_at(1) is None:
            raise Failure(f"The store holds no chain of a node named {name}; name the node with --node.")
        height = parting(spec, noted_upgrades(self._node))
        if height is not None:  # its blocks could not be restored
            raise other_upgrades(name, height, spec.name)

    def records(self) -> Records:
        """As `Source`."""
        items = list(self._accounting.items())  # first: a payment that is sent meanwhile waits or is in a block then
        entries = self._node.pool.entries(self._states.arrivals())
        left = sorted(self._states.records(), key=lambda item: (item[1]["at"], item[0]))
        return Records([entry.text for entry in entries], left[-MOST_RECORDS:], self._node.names.given(), items)

    def tip(self) -> tuple[int, str]:
        """As `Source`."""
        tip = self._node.chain.tip()
        return tip.height, tip.hash

    def hash_at(self, height: int) -> str | None:
        """As `Source`."""
        return self._node.chain.hash_at(height)

    def kept_from(self) -> int:
        """As `Source`."""
        return self._node.chain.kept_from()

    def blocks(self, height: int) -> Iterator[bytes]:
        """As `Source`."""
        return self._node.chain.stream(1, height)


class HttpSource:
    """A node of which only the HTTP API can be reached: its chain, and nothing else."""

    keys: KeyPlaces | None = None

    def __init__(self, client: NodeClient) -> None:
        self._client = client
        self.spec = client.rules_spec()
        name = client.get("/status").get("node")
        if not isinstance(name, str) or not NODE_NAME.fullmatch(name):
            raise Failure("The node's answer has no name of a node.")
        self.name = name

    def records(self) -> None:
        """None: what other nodes keep beside their chains is theirs."""

    def tip(self) -> tuple[int, str]:
        """As `Source`."""
        status = self._client.get("/status")
        try:
            return int(status["height"]), str(status["tip"])
        except (KeyError, TypeError, ValueError):
            raise Failure("The node's answer is not a status.") from None

    def hash_at(self, height: int) -> str | None:
        """As `Source`."""
        found = self._client.find(f"/blocks/{height}")
        return str(found["hash"]) if isinstance(found, dict) and "hash" in found else None

    def kept_from(self) -> int:
        """As `Source`."""
        return self._client.kept_from()

    def blocks(self, height: int) -> Iterator[bytes]:
        """As `Source`."""
        rules = rules_for(self.spec)
        number = 0
        for number, (value, _) in enumerate(self._client.blocks(1, height), 1):
            try:
                yield (rules.adopt_genesis(value) if number == 1 else rules.read_block(value)).canonical
            except RuleError as error:
                raise Failure(f"Block {number} of the node breaks a rule ({error.code}): {error.message}") from None
        if number < height:
            raise Failure("The chain became shorter during the backup; run the command again.")


@contextlib.contextmanager
def source_of(
    url: str | None, redis_url: str | None, node: str | None, spec: str | None, *, quiet: bool
) -> Iterator[Source]:
    """The node that is backed up.

    Args:
        url: its API; None: it is found by its store, or in the data directory.
        redis_url: its store.
        node: its name; None: the only one, or `node1` with `redis_url`.
        spec: its chain spec; None: the one it runs with.
        quiet: of its client.

    Raises:
        Failure: there is no such node, or there are several.
    """
    from services.launch.embedded import EmbeddedValkey

    with contextlib.ExitStack() as stack:
        if url is not None:
            found = running_node(url)
            if found is None:
                yield HttpSource(NodeClient(url, quiet=quiet))
                return
            files, record = found
            name, redis_url = record.name, record.redis_url
            keys: KeyPlaces | None = _keys(files, Path(record.admin_token_file))
        elif redis_url is not None:
            name = node or "node1"
            keys = _keys_beside(name, configured_spec(spec))
        else:
            files, name, redis_url, token = _in_home(node, spec)
            keys = _keys(files, token)
            spec = spec or _spec_in(files)
            if redis_url is None:
                redis_url = stack.enter_context(EmbeddedValkey(files.valkey)).url
        require_store(redis_url)
        yield _store_source(stack, redis_url, name, spec, keys)


def _store_source(
    stack: contextlib.ExitStack, redis_url: str, name: str, spec: str | None, keys: KeyPlaces | None
) -> StoreSource:
    from services.connections.servers import as_store, connect_for_jobs
    from services.registry import spec_of

    redis = stack.enter_context(contextlib.closing(connect_for_jobs(redis_url)))
    # A node of `quarry up` leaves its card in its store. In a cluster the settings name the spec.
    known = spec_of(as_store(redis), name)
    return StoreSource(redis, redis_url, name, known or configured_spec(spec), keys)


def _in_home(node: str | None, spec: str | None) -> tuple[NodeFiles, str, str | None, Path | None]:
    """A node in the data directory: its files, its name, its store's URL if it runs, and its admin token's file."""
    directory = home()
    wanted = None if spec is None else configured_spec(spec).name
    for files, record in running_nodes(directory):
        if node in (None, record.name) and wanted in (None, record.spec):
            return files, record.name, record.redis_url, Path(record.admin_token_file)
    found = [
        item
        for item in nodes_in(directory)
        if item.has_chain and node in (None, item.name) and wanted in (None, item.spec)
    ]
    if not found:
        raise Failure(f"There is no such node in {directory}: start it with `quarry up`, or name one with --url.")
    if len(found) > 1:
        titles = ", ".join(item.title for item in found)
        raise Failure(f"There are several nodes in {directory}: {titles}; name one with --spec and --node.")
    return found[0].files, found[0].name, None, None


def _keys(files: NodeFiles, token: Path | None) -> KeyPlaces:
    return KeyPlaces(files.directory, wallets_directory(), files.directory.parent, token)


def _keys_beside(name: str, spec: ChainSpec) -> KeyPlaces | None:
    """The keys of a node whose store was named: in its data directory, which in a cluster is its own."""
    directory = home()
    if (directory / keyring.PRIVATE_KEY).is_file():
        return KeyPlaces(directory, wallets_directory(), directory, None)
    places = _keys(node_files(directory, spec.name, name), None)
    return places if places.exist() else None


def _spec_in(files: NodeFiles) -> str:
    """The chain spec of a node that has stopped: a file beside it, or the one built in under its directory's name."""
    kept = files.directory.parent / "spec.toml"
    return str(kept) if kept.exists() else os.environ.get("QUARRY_SPEC") or files.directory.parent.name
