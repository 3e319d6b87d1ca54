"""`quarry mine`: ask the node for blocks, and show the search for them."""

import time
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from api.cli.client import NodeClient
from api.cli.group import INTERRUPTED, Failure
from api.cli.node.interruption import interrupt_held
from api.cli.options import Target, require, with_node
from api.cli.progress import line, round_text

_LONG_POLL = 0.5  # seconds that the node may wait before it answers about a job


@click.command()
@with_node
@click.argument("count", metavar="[N]", default=1, type=click.IntRange(1, 10_000))
@click.option(
    "--cancel", is_flag=True, help="Cancel the search in progress and every request that waits; mine nothing."
)
@click.option(
    "--wait",
    default=600.0,
    show_default=True,
    type=click.FloatRange(0, 86400),
    help="How many seconds to wait for each block.",
)
def mine(target: Target, count: int, cancel: bool, wait: float) -> None:
    """Ask the node for N blocks, one after the other, and wait for each. [default: 1]

    Ctrl-C cancels the request, and the search with it if nobody else asked for a block.
    """
    if cancel:
        require(
            click.get_current_context().get_parameter_source("count") is ParameterSource.DEFAULT,
            "--cancel mines nothing: leave out the number of blocks.",
        )
        _cancel_all(target)
        return
    blocks = []
    for number in range(1, count + 1):
        with line(quiet=target.as_json) as say:
            block = mine_one(
                target.client,
                wait,
                lambda text, n=number: say(f"block {n} of {count}: {text}"),
                target.note,
                lambda job: Failure(_interrupted(target.client, job), INTERRUPTED),
            )
        blocks.append(block)
        target.note(
            f"Block {block['index']}: {block['hash']}, {len(block['transactions'])} transaction(s), "
            f"proof {block['proof']}"
        )
    if target.as_json:
        target.show(blocks)


def _cancel_all(target: Target) -> None:
    found = target.client.delete("/jobs")
    number, cancelled = int(found["cancelled"]), found["round"]
    if not number and cancelled is None:
        target.show(found, "Nothing was being mined, so nothing was cancelled.")
        return
    what = "the search" if cancelled is not None else "no search"
    target.show(
        found, f"Cancelled {number} request{'' if number == 1 else 's'} and {what}; `quarry mine` begins again."
    )


def _interrupted(client: NodeClient, job: str) -> str:
    """Cancel a request after Ctrl-C; a sentence that says what became of it. `job`: "" if the node has not named it."""
    goes_on = "The search goes on; `quarry mine --cancel` stops it."
    if not job:
        return f"Interrupted before the node answered. {goes_on}"
    try:
        found = client.delete(f"/jobs/{job}")
    except Failure as error:
        return f"Interrupted, but the request {job} was not cancelled: {error.message} {goes_on}"
    if found["status"] == "finished":
        return f"Interrupted; the block was found before that: {found['block']}."
    searching = client.get("/status")["round"]
    rest = "Another search goes on: for other requests, or for transactions that wait." if searching else ""
    return f"Interrupted; the request was cancelled. {rest or 'Nothing is being mined now.'}"


def mine_one(
    client: NodeClient,
    wait: float,
    say: Any = lambda text: None,
    tell: Any = lambda text: None,
    after_interrupt: Callable[[str], BaseException] = lambda job: KeyboardInterrupt(),
) -> dict[str, Any]:
    """Ask the node for one block and wait for it; the block as `/blocks` shows it.

    Args:
        wait: seconds.
        say: called again and again with the progress of the search.
        tell: called once with the node's reason if mining has to wait.
        after_interrupt: called with the request's id after Ctrl-C ("": it is not known); what is raised then.

    Raises:
        Failure: the request failed or was cancelled, or there is no block after `wait` seconds; in the latter case the
            request stays with the node.
    """
    job = ""
    try:
        with interrupt_held():  # the answer names the request, which can be cancelled then
            answer: dict[str, Any] = client.post("/mine", wait=0)
            job = str(answer.get("job", ""))
        if not job:
            return _block(client, answer["hash"])
        if "mining_waits_until" in answer:
            if answer["mining_waits_until"] - client.get("/status")["time"] > wait:
                raise Failure(f"{answer['message']} The request {job} stays queued; `quarry mine --cancel` cancels it.")
            tell(answer["message"])
        return _mined(client, job, wait, say)
    except KeyboardInterrupt:
        raise after_interrupt(job) from None


def _mined(client: NodeClient, job: str, wait: float, say: Any) -> dict[str, Any]:
    """Wait for the block that answers a request. Raises as `mine_one`."""
    deadline = time.monotonic() + wait
    while True:
        found = client.get(f"/jobs/{job}", wait=_LONG_POLL)
        if found["status"] == "finished":
            return _block(client, found["block"])
        if found["status"] in ("failed", "cancelled"):
            raise Failure(f"The mining request was {found['status']}.")
        if time.monotonic() >= deadline:
            raise Failure(
                f"No block within {wait:g} s. The node keeps the request {job}; `quarry status` shows its workers, and "
                "`quarry mine --cancel` cancels it."
            )
        say(_progress(client, found.get("round")))


def _block(client: NodeClient, block_hash: str) -> dict[str, Any]:
    block: dict[str, Any] = client.get(f"/blocks/{block_hash}")
    return block


def _progress(client: NodeClient, round_id: str | None) -> str:
    found = client.find(f"/rounds/{round_id}") if round_id else None
    return "waiting for its turn" if found is None else round_text(found)
