"""`quarry status`: what a node is doing."""

import click

from api.cli.options import Target, with_node
from api.cli.progress import round_text
from services.clocks import waiting_words, wrong_clock_words
from services.system.quantities import hashes_text, rate_text

_MOST_WORKERS = 16  # that have a line of their own


@click.command()
@with_node
def status(target: Target) -> None:
    """Show the node's chain, mempool, workers, peers and current round, and what is wrong with it."""
    found = target.client.get("/status")
    pool, workers = found["mempool"], found["workers"]
    lines = [
        f"{found['node']} at {target.client.url}",
        f"  chain      {found['spec']}, height {found['height']}, chainwork {found['chainwork']}",
        f"  tip        {found['tip']}",
        f"  mempool    {pool['size']} transaction(s), {pool['bytes']} bytes",
        f"  workers    {workers['mining']} mining, {workers['network']} network",
        f"  peers      {len(found['peers'])}",
    ]
    if found.get("rpc_url"):
        lines.append(f"  wallets    {found['rpc_url']}, {found['ws_url']} (chain id {found['chain_id']})")
    offset = found.get("time_offset")
    if offset:
        lines.append(
            f"  clock      blocks are {abs(offset):,} s {'ahead of' if offset > 0 else 'behind'} the node's clock"
        )
    limit = found.get("hash_rate_limit")
    if limit:
        lines.append(f"  limit      {rate_text(limit)} for all workers together")
    searching = found["round"]
    if searching:
        lines.append(f"  round      block {searching['height']}: {round_text(searching)}")
        lines += [
            f"             {worker['name']}: {hashes_text(worker['hashes'])} hashes, {rate_text(worker['rate'])}"
            for worker in searching["workers"][:_MOST_WORKERS]
        ]
    until = found.get("mining_waits_until")
    if until is not None:
        lines.append(waiting_words(until, found["time"]))
    for clock in found.get("wrong_clocks", []):
        lines.append(f"{wrong_clock_words(clock['name'], clock['ahead'])}: set that machine's clock.")
    if found.get("suspended"):
        lines.append("The workers are suspended: nothing is mined until `rq resume`.")
    if found.get("foreign_workers"):
        lines.append(
            f"{found['foreign_workers']} worker(s) of another program take the node's jobs and fail them: stop them."
        )
    ledger = found.get("ledger", {})
    if ledger.get("state", "ok") != "ok":
        lines.append(f"  ledger     {ledger['state'].upper()}: {ledger['detail']}")
    if not workers["mining"]:
        lines.append("No mining worker is running: no block is mined until one starts.")
    target.show(found, *lines)
