"""`quarry repair`: rebuild what a node has stored from its blocks."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from api.cli import terminal
from api.cli.chain.chainfile import node_store
from api.cli.chain.stored import node_on, told
from api.cli.group import FAILED, Failure
from api.cli.options import home, json_option, redis_url_option
from api.cli.progress import bar
from services.audit.repair import BlockDamaged, Repaired
from shared.chain_spec import ChainSpec


@click.command()
@redis_url_option("--redis-url", "QUARRY_REDIS_URL", "The node's store. [default: the node's own]")
@click.option("--node", envvar="QUARRY_NODE", default="node1", show_default=True, help="The node's name in that store.")
@click.option("--spec", metavar="NAME|FILE", help="Its chain spec. [default: the one that the node runs with]")
@click.option(
    "--truncate",
    is_flag=True,
    help="Where a block itself is damaged: give it up with all above it; peers give them again, if they have them.",
)
@json_option
def repair(redis_url: str | None, node: str, spec: str | None, truncate: bool, as_json: bool) -> None:
    """Rebuild what a node has stored from its blocks: accounts, allowances, undo records, headers, indexes, histories.

    Every block is replayed by all rules, and what is stored otherwise is written right. The node may run meanwhile:
    from the first difference on it neither admits nor mines until the repair is done, and answers all questions. A
    repair that was killed can be run again. A node that is right is left alone.

    Exit 0: nothing differs any more. Exit 1: a block itself is damaged (see --truncate), or the store does not answer.
    """
    from services.connections import RedisError, connect_for_jobs, connect_for_requests, require_usable
    from services.system import logs

    logs.configure("error", "console")
    with _store(redis_url, node, spec) as url:
        with connect_for_requests(url) as probe:  # a person waits: where nothing answers, that is said at once
            require_usable(probe, "--redis-url")
        try:
            with contextlib.closing(connect_for_jobs(url)) as redis, bar("replaying", quiet=as_json) as advance:
                here = node_on(redis, url, node, _spec(redis, node, spec))
                if here.chain.block_bytes(here.rules.genesis().hash) is None and here.chain.hash_at(1) is None:
                    raise Failure(f"The store holds no chain of a node {node}.")
                _show(here.repair.run(advance, truncate=truncate), as_json)
        except BlockDamaged as error:
            if as_json:
                findings = [asdict(finding) for finding in error.findings]
                terminal.show_json({"repaired": False, "damaged_block": error.height, "findings": findings})
            raise Failure(str(error), FAILED) from None
        except (RedisError, ValueError) as error:
            raise Failure(f"The store does not answer, or refuses ({type(error).__name__}).") from None


def _show(done: Repaired, as_json: bool) -> None:
    findings = list(done.findings)
    if as_json:
        value = asdict(done) | {"repaired": True, "differences": len(findings)}
        terminal.show_json(value)
        return
    if not findings:
        terminal.show(f"Nothing to repair: every record is what the {done.height} blocks give.")
        return
    terminal.show(f"Repaired {len(findings)} record(s):", *told(findings))
    if done.removed:
        terminal.show(
            f"{done.removed} block(s) were given up, {done.returned} of their transactions are in the mempool again; "
            "the resolver fetches the blocks from peers that have them."
        )
    terminal.show(f"Height {done.height}, tip {done.tip}. The node admits and mines again.")


@contextlib.contextmanager
def _store(redis_url: str | None, node: str, spec: str | None) -> Iterator[str]:
    """The store: the one that was named, that of a node that runs here, or of a stopped one, started meanwhile."""
    from services.launch.node_files import running_nodes
    from services.settings.table import load_spec

    if redis_url is None:
        wanted = None if spec is None else load_spec(spec).name
        for _, record in running_nodes(home()):
            if record.name == node and wanted in (None, record.spec):
                redis_url = record.redis_url
                break
    with node_store(load_spec(spec or os.environ.get("QUARRY_SPEC") or "dev"), node, redis_url) as url:
        yield url


def _spec(redis: Any, node: str, spec: str | None) -> ChainSpec:
    """The chain spec: the one that was named, or the one that the node's API has told its workers."""
    from services.connections import as_store
    from services.registry import spec_of
    from services.settings.table import load_spec

    if spec is None:
        known = spec_of(as_store(redis), node)
        if known is not None:
            return known
    return load_spec(spec or os.environ.get("QUARRY_SPEC") or "dev")
