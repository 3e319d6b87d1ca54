"""`quarry mine`: ask the node for blocks, and show the search for them."""

import time
from typing import Any

import click

from api.cli.client import NodeClient
from api.cli.group import Failure
from api.cli.options import Target, with_node
from api.cli.progress import line, round_text

_LONG_POLL = 0.5  # seconds that the node may wait before it answers about a job


@click.command()
@with_node
@click.argument("count", metavar="[N]", default=1, type=click.IntRange(1, 10_000))
@click.option(
    "--wait",
    default=600.0,
    show_default=True,
    type=click.FloatRange(0, 86400),
    help="How many seconds to wait for each block.",
)
def mine(target: Target, count: int, wait: float) -> None:
    """Ask the node for N blocks, one after the other, and wait for each. [default: 1]"""
    blocks = []
    for number in range(1, count + 1):
        with line(quiet=target.as_json) as say:
            block = mine_one(
                target.client, wait, lambda text, n=number: say(f"block {n} of {count}: {text}"), target.note
            )
        blocks.append(block)
        target.note(
            f"Block {block['index']}: {block['hash']}, {len(block['transactions'])} transaction(s), "
            f"proof {block['proof']}"
        )
    if target.as_json:
        target.show(blocks)


def mine_one(
    client: NodeClient, wait: float, say: Any = lambda text: None, tell: Any = lambda text: None
) -> dict[str, Any]:
    """Ask the node for one block and wait for it; the block as `/blocks` shows it.

    Args:
        wait: seconds.
        say: called again and again with the progress of the search.
        tell: called once with the node's reason if mining has to wait.

    Raises:
        Failure: the request failed or was cancelled, or there is no block after `wait` seconds; in the latter case the
            request stays with the node.
    """
    answer: dict[str, Any] = client.post("/mine", wait=0)
    if "job" not in answer:
        return _block(client, answer["hash"])
    job = str(answer["job"])
    if "mining_waits_until" in answer:
        if answer["mining_waits_until"] - client.get("/status")["time"] > wait:
            raise Failure(f"{answer['message']} The request {job} stays queued.")
        tell(answer["message"])
    deadline = time.monotonic() + wait
    while True:
        found = client.get(f"/jobs/{job}", wait=_LONG_POLL)
        if found["status"] == "finished":
            return _block(client, found["block"])
        if found["status"] in ("failed", "cancelled"):
            raise Failure(f"The mining request was {found['status']}.")
        if time.monotonic() >= deadline:
            raise Failure(
                f"No block within {wait:g} s. The node keeps the request {job}; `quarry status` shows its workers."
            )
        say(_progress(client, found.get("round")))


def _block(client: NodeClient, block_hash: str) -> dict[str, Any]:
    block: dict[str, Any] = client.get(f"/blocks/{block_hash}")
    return block


def _progress(client: NodeClient, round_id: str | None) -> str:
    found = client.find(f"/rounds/{round_id}") if round_id else None
    return "waiting for its turn" if found is None else round_text(found)
