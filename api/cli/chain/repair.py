"""`quarry repair`: rebuild what a node has stored from its blocks."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from api.cli import terminal
from api.cli.chain.comparison import finding_lines
from api.cli.chain.stores import configured_spec, node_on, node_store, require_store, store_failures
from api.cli.group import FAILED, Failure
from api.cli.options import home, json_option, redis_url_option
from api.cli.progress import bar
from services.audit.repair import BlockDamaged, Repaired
from shared.chain_spec import ChainSpec


@click.command()
@redis_url_option(
    "--redis-url", "QUARRY_REDIS_URL", "The node's store. [default: that of the node in the data directory]"
)
@click.option("--node", envvar="QUARRY_NODE", default="node1", show_default=True, help="The node's name.")
@click.option("--spec", metavar="NAME|FILE", help="The node's chain spec. [default: the one it runs with]")
@click.option(
    "--truncate",
    is_flag=True,
    help="If a block itself is damaged, drop it and all blocks above it. The node fetches them again from its peers.",
)
@json_option
def repair(redis_url: str | None, node: str, spec: str | None, truncate: bool, as_json: bool) -> None:
    """Rebuild from its blocks what a node has stored: accounts, allowances, undo records, headers, indexes, histories.

    Every block is replayed by all rules, and each record that differs from the result is rewritten. If nothing differs,
    nothing is written. The node may run meanwhile: once a difference is found, it answers questions but neither admits
    nor mines until the repair is done. A repair that was killed can be run again.

    Exit code 0: nothing differs any more. Exit code 1: a block itself is damaged (see --truncate), or the store does
    not answer.
    """
    from services.connections.servers import connect_for_jobs
    from services.system import logs

    logs.configure("error", "console")
    with _store(redis_url, node, spec) as url:
        require_store(url)
        try:
            with (
                store_failures(),
                contextlib.closing(connect_for_jobs(url)) as redis,
                bar("replaying", quiet=as_json) as advance,
            ):
                found = node_on(redis, url, node, _spec(redis, node, spec))
                if found.chain.block_bytes(found.rules.genesis().hash) is None and found.chain.hash_at(1) is None:
                    raise Failure(f"The store holds no chain of a node named {node}; name the node with --node.")
                _show(found.repair.run(advance, truncate=truncate), as_json)
        except BlockDamaged as error:
            if as_json:
                findings = [asdict(finding) for finding in error.findings]
                terminal.show_json({"repaired": False, "damaged_block": error.height, "findings": findings})
            raise Failure(str(error), FAILED) from None


def _show(done: Repaired, as_json: bool) -> None:
    findings = list(done.findings)
    if as_json:
        value = asdict(done) | {"repaired": True, "differences": len(findings)}
        terminal.show_json(value)
        return
    if not findings:
        terminal.show(f"Nothing to repair: every record is what the {done.height} blocks give.")
        return
    terminal.show(f"Repaired {len(findings)} record(s):", *finding_lines(findings))
    if done.removed:
        terminal.show(
            f"Dropped {done.removed} block(s); {done.returned} of their transactions are in the mempool again.",
            "The node fetches the blocks again from peers that have them.",
        )
    terminal.show(f"Height {done.height}", f"Tip {done.tip}", "The node admits and mines again.")


@contextlib.contextmanager
def _store(redis_url: str | None, node: str, spec: str | None) -> Iterator[str]:
    """The URL of the store: as given, or of a node that runs on this machine, or as `node_store` finds it."""
    from services.launch.embedded import EmbeddedValkey
    from services.launch.node_files import running_nodes
    from services.launch.reset import nodes_in
    from services.settings.table import load_spec

    if redis_url is None:
        wanted = None if spec is None else load_spec(spec, "--spec").name
        for _, record in running_nodes(home()):
            if record.name == node and wanted in (None, record.spec):
                redis_url = record.redis_url
                break
    if redis_url is None and spec is None and not os.environ.get("QUARRY_SPEC"):
        stopped = [item for item in nodes_in(home()) if item.has_chain and item.name == node]
        if len(stopped) == 1:  # whatever its chain is; its card in the store has the spec
            with EmbeddedValkey(stopped[0].files.valkey) as valkey:
                yield valkey.url
            return
    with node_store(configured_spec(spec), node, redis_url) as url:
        yield url


def _spec(redis: Any, node: str, spec: str | None) -> ChainSpec:
    """The chain spec with its upgrades: as given, or the one that the node's API has written for its workers.

    A spec that is given says nothing of upgrades. They are those of QUARRY_UPGRADES_FILE, or else the node's: without
    them a sound block above an upgrade would be called damaged.
    """
    from services.connections.servers import as_store
    from services.registry import spec_of

    known = spec_of(as_store(redis), node)
    if spec is None and known is not None:
        return known
    wanted = configured_spec(spec)
    return known if known is not None and known.hash == wanted.hash and not wanted.stages else wanted
