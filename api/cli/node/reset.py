"""`quarry reset`: remove the chain of a node, so that the next `quarry up` begins a new one."""

from pathlib import Path

import click

from api.cli import terminal
from api.cli.group import USAGE, Failure
from api.cli.options import home, json_option, require
from api.cli.suggestions import did_you_mean
from services.launch.reset import Resettable, nodes_in, require_stopped
from services.launch.reset import reset as reset_node

_YES = ("y", "yes")


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data directory. [default: QUARRY_DATA_HOME, QUARRY_DATA_DIR, or ~/.quarry]",
)
@click.option("--spec", metavar="NAME", help="The chain, if the data directory has several.")
@click.option("--keys", is_flag=True, help="Remove the node's own key and admin token too. The key's coins are lost.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def reset(data_dir: Path | None, spec: str | None, keys: bool, yes: bool, as_json: bool) -> None:
    """Remove the chain and the logs of the nodes in a data directory; ask first.

    The nodes must have stopped. Their keys stay unless --keys is given, and wallets always stay. A chain that is kept
    in a Redis of your own (--redis-url) is not touched.
    """
    directory = data_dir if data_dir is not None else home()
    nodes = _chosen(directory, spec, keys)
    for node in nodes:
        require_stopped(node)
    if not yes:
        _ask(nodes, keys)
    for node in nodes:
        reset_node(node, keys=keys)
    titles = [node.title for node in nodes]
    if as_json:
        terminal.show_json({"removed": titles, "keys": keys})
    else:
        terminal.show(f"Removed the chain of {_and(titles)}; `quarry up` begins a new one.")


def _chosen(directory: Path, spec: str | None, keys: bool) -> list[Resettable]:
    """The nodes to be reset: all of one chain. Raises: Failure."""
    nodes = [node for node in nodes_in(directory) if node.has_chain or keys]
    chains = list(dict.fromkeys(node.spec for node in nodes))
    if not chains:
        raise Failure(f"There is no node with a chain in {directory}, so there is nothing to remove.")
    if spec is None:
        require(
            len(chains) == 1,
            f"There are several chains in {directory}: {_and(chains)}; name one with --spec NAME.",
        )
        return nodes
    if spec not in chains:
        raise Failure(
            f"There is no chain {spec[:40]!r} in {directory}; there is {_and(chains)}.{did_you_mean(spec, chains)}",
            USAGE,
        )
    return [node for node in nodes if node.spec == spec]


def _ask(nodes: list[Resettable], keys: bool) -> None:
    """Raises: Failure: nobody can be asked, or the answer is not yes."""
    if not terminal.is_attended():
        raise Failure("This removes a chain, so it asks first: answer at a terminal, or give --yes.", USAGE)
    terminal.say(*(f"  {node.title:16}  {node.files.directory}" for node in nodes))
    what = "the chain, the key and the admin token" if keys else "the chain (the keys stay)"
    answer = terminal.ask(f"Remove {what} of {_and([node.title for node in nodes])}? y/N").strip().lower()
    if answer not in _YES:
        raise Failure("Nothing was removed.")


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
