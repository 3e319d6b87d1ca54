"""A chain as a file: JSON lines, first `{"spec": …, "genesis": hash}`, then one block per line, as it is hashed."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

from api.cli.client import NodeClient
from api.cli.group import Failure
from api.cli.options import home
from services.system.text_files import without_mark
from shared.chain_spec import BadChainSpec, ChainSpec, spec_from_object
from shared.errors import RuleError, TooEarly
from shared.rules import Rules, rules_for

# A block may have 16 MiB (`max_block_bytes` of any spec); what is longer is no block.
_MAX_LINE = 2**24 + 2**16
# Hashes of blocks that are there already are looked up this many at once.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    new: int
    known: int  # blocks that were there before, genesis included
    height: int  # of the node's chain now
    tip: str


def export_chain(client: NodeClient, output: IO[bytes], advance: Callable[[int, int], None]) -> int:
    """Write the node's chain as it is now; its height.

    Raises:
        Failure: the chain was reorganised meanwhile, so that the file would not be one chain.
    """
    spec = client.spec()
    rules = rules_for(spec)
    height = int(client.get("/status")["height"])
    previous: str | int | None = None
    done = 0
    for value, _ in client.blocks(1, height):
        block = rules.adopt_genesis(value) if done == 0 else rules.read_block(value)
        if done == 0:
            head = {"spec": spec.to_object(), "genesis": block.hash}
            output.write(json.dumps(head, sort_keys=True).encode() + b"\n")
        elif block.header.previous_hash != previous:
            raise Failure("The chain was reorganised while it was exported; run it again.")
        output.write(block.canonical + b"\n")
        previous, done = block.hash, done + 1
        advance(done, height)
    if done < height:
        raise Failure("The chain became shorter while it was exported; run it again.")
    return done


def import_chain(source: IO[bytes], node: str, redis_url: str | None, advance: Callable[[int], None]) -> Imported:
    """Check each block of a chain file by all rules and append it to a node's chain. Safe to repeat after any end.

    Args:
        redis_url: the store; None: that of the node under the data directory, started for the while if it is stopped.
        advance: told how many bytes have been read.

    Raises:
        Failure: the file, or the store's chain, does not fit; the message has the height.
    """
    reader = _Reader(source)
    spec, genesis = reader.head()
    with node_store(spec, node, redis_url) as url:
        importer = _Importer(url, node, spec, genesis)
        for _, value in reader.blocks():
            importer.take(value)
            advance(reader.bytes)
        return importer.finish()


class _Reader:
    """The lines of a chain file."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._line = 0
        self.bytes = 0

    def head(self) -> tuple[ChainSpec, str]:
        value = self._next()
        try:
            spec, genesis = spec_from_object(value["spec"]), str(value["genesis"])
        except (TypeError, KeyError):
            raise Failure("The file does not begin with a chain spec: it is no exported chain.") from None
        except BadChainSpec as error:
            raise Failure(f"The file's chain spec cannot be used: {error}") from None
        if not rules_for(spec).may_begin_with(genesis):
            raise Failure("The file's genesis block is not that of its chain spec.")
        return spec, genesis

    def blocks(self) -> Iterator[tuple[int, Any]]:
        while (value := self._next()) is not None:
            yield self._line, value

    def _next(self) -> Any:
        text = self._source.readline(_MAX_LINE + 1)
        if not text:
            return None
        self._line += 1
        self.bytes += len(text)
        if self._line == 1:
            text = without_mark(text, "The file")
        try:
            if len(text) > _MAX_LINE:
                raise ValueError
            return json.loads(text)
        except (ValueError, RecursionError):
            cut = "" if text.endswith(b"\n") else "; the file ends in the middle of it"
            raise Failure(f"Line {self._line} of the file is not a block{cut}.") from None


class _Importer:
    """Appends blocks to one node's chain, through the door that every block comes through."""

    def __init__(self, redis_url: str, node: str, spec: ChainSpec, genesis: str) -> None:
        from services.connections import as_store, connect_for_jobs, connect_for_requests, require_usable
        from services.jobs.queues import RqJobs
        from services.node import build_node
        from services.settings.table import load
        from services.settings.values import named, node_name

        named("--node", node_name, node)
        # The rules come from the file; whether the store's chain follows them, its genesis block tells.
        settings = load({"QUARRY_NODE": node, "QUARRY_REDIS_URL": redis_url})
        with connect_for_requests(redis_url) as probe:
            require_usable(probe, "--redis-url")
        redis = connect_for_jobs(redis_url)
        self._node = build_node(replace(settings, spec=spec), store=as_store(redis), queue=RqJobs(redis))
        self._rules: Rules = self._node.rules
        self._node.begin()
        self._node.faults.require_none()
        if self._node.chain.hash_at(1) != genesis:
            raise Failure("The node's chain begins with another genesis block than the file's.")
        self._known: list[str] = []  # hashes from `_first` on
        self._first = 1
        self._new = self._same = 0

    def take(self, value: Any) -> None:
        """Compare or append the next block of the file."""
        from services.errors import TipMoved

        height = self._new + self._same + 1
        try:
            block = self._rules.adopt_genesis(value) if height == 1 else self._rules.read_block(value)
            there = self._hash_at(height)
            if there is None:
                self._node.acceptor.accept(block)
                self._new += 1
            elif there == block.hash:
                self._same += 1
            else:
                raise Failure(f"The node has another block at height {height}: its chain is not the file's.")
        except RuleError as error:
            raise Failure(f"Block {height} breaks the rule {error.code}: {error.message}") from None
        except TooEarly as error:
            raise Failure(f"Block {height}: {error}") from None
        except TipMoved:
            raise Failure(
                f"The node's chain grew while block {height} was imported; what was imported stays. Run it again."
            ) from None

    def finish(self) -> Imported:
        tip = self._node.chain.tip()
        return Imported(self._new, self._same, tip.height, tip.hash)

    def _hash_at(self, height: int) -> str | None:
        """The hash of the node's block at `height`; looked up in batches, until the end of what was there before."""
        if self._new:
            return None
        if height >= self._first + len(self._known):
            self._first = height
            self._known = [stored.header.hash for stored in self._node.chain.headers(height, _BATCH)]
        position = height - self._first
        return self._known[position] if position < len(self._known) else None


@contextlib.contextmanager
def node_store(spec: ChainSpec, node: str, redis_url: str | None) -> Iterator[str]:
    """The URL of the node's store; an embedded one is started, and stopped at the end, where it does not run."""
    if redis_url is not None:
        yield redis_url
        return
    from services.launch.embedded import EmbeddedValkey
    from services.launch.node_files import is_alive, node_files

    files = node_files(home(), spec.name, node)
    record = files.read_record()
    if record is not None and is_alive(record):
        yield record.redis_url
        return
    if not files.directory.is_dir():
        raise Failure(f"There is no node at {files.directory}: start it once with quarry up, or give --redis-url.")
    with EmbeddedValkey(files.valkey) as valkey:
        yield valkey.url
