"""`quarry status`: what a node is doing, below one another on a terminal of 80 columns, side by side on a wide one."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from api.cli import terminal
from api.cli.moments import ago, moment
from api.cli.options import Target, with_node
from api.cli.progress import round_text
from api.cli.table import Column, beside, table
from services.clocks import waiting_words, wrong_clock_words
from services.system.quantities import hashes_text, rate_text

_WIDE = 140  # columns from which on the two halves stand side by side
_MOST_WORKERS = 5  # of the round that have a line of their own, on a terminal of 24 rows
_MORE_WORKERS = 16  # where the lines are for a program, or there are more rows
_LOW = 24  # rows


@click.command()
@with_node
def status(target: Target) -> None:
    """Show the node's chain, mempool, workers, peers and current round, and what is wrong with it."""
    found = target.client.get("/status")
    newest = None if target.as_json else target.client.find("/blocks?limit=1")
    left, right = list(_chain(found, newest)), [*_mining(found), *_addresses(found, target.client.url)]
    width = terminal.width()
    halves = [*left, *right] if width is None or width < _WIDE else beside(left, right)
    target.show(found, _title(found), *halves, *_warnings(found))


def _title(found: Mapping[str, Any]) -> str:
    version = f" (version {found['version']})" if "version" in found else ""
    now = f", {moment(found['time'])}" if "time" in found else ""
    return f"{found['node']}{version}{now}"


def _chain(found: Mapping[str, Any], newest: Any) -> Iterator[str]:
    chain_id = f" (chain id {found['chain_id']})" if "chain_id" in found else ""
    pool = found["mempool"]
    fee = f", least fee {found['min_fee']}" if "min_fee" in found else ""
    yield f"CHAIN        {found['spec']}{chain_id}"
    yield f"  height     {found['height']}{_tip_time(found, newest)}"
    yield f"  tip        {found['tip']}"
    if found.get("kept_from", 1) > 1:
        yield f"  kept       whole blocks from height {found['kept_from']} on, headers of all"
    supply = f", supply {found['supply']} coins" if "supply" in found else ""
    yield f"  chainwork  {found['chainwork']}{supply}"
    yield f"  mempool    {pool['size']} transaction(s), {pool['bytes']} bytes{fee}"
    yield f"  peers      {len(found['peers'])}"
    offset = found.get("time_offset")
    if offset:
        yield f"  clock      blocks are {abs(offset):,} s {'ahead of' if offset > 0 else 'behind'} the node's clock"
    ledger = found.get("ledger", {})
    if ledger.get("state", "ok") != "ok":
        yield f"  ledger     {ledger['state'].upper()}: {ledger['detail']}"


def _tip_time(found: Mapping[str, Any], newest: Any) -> str:
    """When the tip was mined, if the node says so of just this block."""
    blocks = newest.get("blocks") if isinstance(newest, dict) else None
    tip = blocks[0] if isinstance(blocks, list) and blocks else None
    if not isinstance(tip, dict) or tip.get("hash") != found["tip"] or "timestamp" not in tip:
        return ""
    age = ago(tip["timestamp"], found.get("time"))
    return f", {moment(tip['timestamp'])}" + (f" ({age})" if age else "")


def _mining(found: Mapping[str, Any]) -> Iterator[str]:
    workers, searching = found["workers"], found["round"]
    yield f"MINING       {_when(found)}".rstrip()
    yield f"  workers    {workers['mining']} mining, {workers['network']} network"
    if limit := found.get("hash_rate_limit"):
        yield f"  limit      {rate_text(limit)} for all workers together"
    if not searching:
        yield "  round      none: nothing is being mined"
        return
    yield f"  round      block {searching['height']}: {round_text(searching)}"
    every = searching["workers"]
    most = terminal.rows()
    shown = every[: _MORE_WORKERS if most is None or most >= _LOW + _MORE_WORKERS else _MOST_WORKERS]
    if shown:
        rows = [[str(worker["name"]), hashes_text(worker["hashes"]), rate_text(worker["rate"])] for worker in shown]
        yield from (f"  {line}" for line in table(_WORKERS, rows, (terminal.width() or terminal.MAX_LINE) - 2))
    if left := len(every) - len(shown):
        yield f"  and {left:,} more workers; --json shows all"


_WORKERS = (Column("WORKER", least=12), Column("HASHES", right=True), Column("SPEED", right=True))


def _when(found: Mapping[str, Any]) -> str:
    """When blocks are mined."""
    if found.get("mine") == "always":
        return "always"
    if "automine" not in found:  # a node of an earlier version
        return ""
    interval = found.get("block_time") or 0
    times = [f"every {interval:g} s"] if interval else []
    times += ["whenever a transaction waits"] if found["automine"] else []
    return " and ".join([*times, "on request"] if times else ["on request only"])


def _addresses(found: Mapping[str, Any], url: str) -> Iterator[str]:
    yield f"ADDRESSES    {url}/"
    if found.get("rpc_url"):
        yield f"  JSON-RPC   {found['rpc_url']}  (miners with a voucher, too)"
        yield f"  WebSocket  {found['ws_url']}"
    sealing = found.get("sealing")
    if sealing:
        may = "a sealer" if sealing["allowed"] else "NO SEALER: this node mines nothing"
        yield f"  key        {sealing['address'] or 'none'}, {may}"
    if "address" in found:
        yield f"  wallet     {found['address']}"


def _warnings(found: Mapping[str, Any]) -> Iterator[str]:
    until = found.get("mining_waits_until")
    if until is not None:
        yield waiting_words(until, found["time"])
    for clock in found.get("wrong_clocks", []):
        yield f"{wrong_clock_words(clock['name'], clock['ahead'])}: set that machine's clock."
    if found.get("suspended"):
        yield "The workers are suspended: nothing is mined until `rq resume`."
    if found.get("foreign_workers"):
        yield f"{found['foreign_workers']} worker(s) of another program take the node's jobs and fail them: stop them."
    if not found["workers"]["mining"]:
        yield "No mining worker is running: no block is mined until one starts."
