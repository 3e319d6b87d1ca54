"""`quarry peers`: the nodes that a node asks for better chains."""

from collections.abc import Iterable
from typing import Any

import click

from api.cli.group import FAILED, Failure
from api.cli.options import Target, all_option, with_node
from api.cli.suggestions import Group
from api.cli.table import Column, table, that_fit

_NO_PEERS = "The node has no peers; `quarry peers add URL` registers one."


@click.group(cls=Group)
def peers() -> None:
    """Add, list and remove the node's peers.

    Nodes that the node has only heard of are candidates. It does not ask them for anything until you add them.
    """


@peers.command("add")
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@with_node
def add(target: Target, urls: tuple[str, ...]) -> None:
    """Register peers, or approve candidates.

    A peer on another chain is refused, and so is an address at which no node of Quarry answers but another program. A
    peer that does not answer is registered, since it may answer later.
    """
    known = target.client.post("/nodes/register", {"nodes": list(urls)}, timeout=60.0)["total_nodes"]
    target.show({"peers": known}, f"Peers now: {', '.join(known)}." if known else _NO_PEERS)


@peers.command("list")
@with_node
@all_option
def show(target: Target, everything: bool) -> None:
    """Show the peers with their state and height, what is wrong with them, and the candidates."""
    found = target.client.get("/nodes")["nodes"]
    lines = _lines(found)
    shown = that_fit(len(lines), everything or target.as_json, besides=0)
    more = [] if shown == len(lines) else [f"… and {len(lines) - shown:,} more lines; --all shows all."]
    target.show({"peers": found}, *lines[:shown], *more)


@peers.command("remove")
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@with_node
def remove(target: Target, urls: tuple[str, ...]) -> None:
    """Remove peers or candidates."""
    answer = target.client.delete("/nodes", {"nodes": list(urls)})
    removed = answer["removed"]
    if not removed:
        raise Failure("None of these is a peer of the node; `quarry peers list` shows its peers.", FAILED)
    target.show({"removed": removed, "peers": answer["nodes"]}, f"Removed {removed}; {len(answer['nodes'])} left.")


def _lines(found: Iterable[dict[str, Any]]) -> list[str]:
    approved = [peer for peer in found if peer["state"] != "candidate"]
    candidates = [peer["url"] for peer in found if peer["state"] == "candidate"]
    lines = [_NO_PEERS]
    if approved:
        title, *rows = table(_COLUMNS, [[peer["url"], peer["state"], _height(peer)] for peer in approved])
        lines = [title]
        for peer, row in zip(approved, rows, strict=True):
            lines += [row, *([f"    {peer['reason']}"] if peer["reason"] else [])]
    if candidates:
        lines += ["", "Candidates, awaiting approval (`quarry peers add URL`):", *(f"  {url}" for url in candidates)]
    return lines


_COLUMNS = (Column("PEER"), Column("STATE"), Column("HEIGHT", right=True))


def _height(peer: dict[str, Any]) -> str:
    return str(peer["height"]) if peer["height"] else "no answer yet"
