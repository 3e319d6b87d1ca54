"""`quarry lab`: its commands. What they print is for a person unless --json is given.

Exit codes: 0 every verdict held, 1 one did not, 2 wrong usage or a file that cannot be used, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from api.cli import terminal
from api.cli.group import FAILED, USAGE, Failure, LazyGroup
from api.cli.options import json_option
from api.cli.progress import bar
from api.cli.suggestions import Group
from lab.files import open_page, read_file, write_page
from lab.grading import grade_strategy
from lab.interface import LabError
from lab.loading import MOST_NODES, Fidelity, built_in, load_scenario, read_parameters
from lab.recording import BadRecording, Event
from lab.runner import MakeLab, Result, run_real, run_seeds
from lab.runner import simulated as simulated_lab
from lab.seeds import read_seed
from lab.session import run_session
from lab.showing import figures, listed
from lab.strategy import Strategy
from lab.timeline import lines_of
from lab.verdicts import Verdict
from services.system import logs

MOST_SEEDS = 1_000_000


class LabGroup(LazyGroup):
    """A group with commands of its own that treats errors as the root command does."""

    list_commands = Group.list_commands
    get_command = Group.get_command
    format_options = Group.format_options
    format_commands = Group.format_commands
    shell_complete = Group.shell_complete


@contextmanager
def refusals() -> Iterator[None]:
    """What cannot be used is one sentence and exit code 2; 1 is for verdicts that did not hold."""
    try:
        yield
    except (LabError, BadRecording) as error:
        raise Failure(str(error), USAGE) from None


@click.group(
    cls=LabGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 every verdict held, 1 one did not, 2 wrong usage or file, 130 interrupted.",
)
def lab() -> None:
    """Break a blockchain and watch it heal.

    A scenario acts on a network of nodes and says what should follow. Begin with `quarry lab list` and `quarry lab
    simulate partition`.
    """


_seeds = click.option(
    "--seeds", type=click.IntRange(1, MOST_SEEDS), default=1, show_default=True, help="How many seeds to run."
)
_first_seed = click.option(
    "--first-seed", "--seed", "first_seed", type=read_seed, metavar="SEED", default=1,
    help="The first seed, or the only one: 7, or 1:7 with its version.", show_default=True,
)  # fmt: skip
_set = click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a parameter; repeatable.")
directory_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("lab-recordings"),
    show_default=True,
    help="Where recordings go.",
)
_open = click.option("--open", "opens", is_flag=True, help="Show the recording's page in a browser.")


@lab.command("list")
@json_option
def list_scenarios(as_json: bool) -> None:
    """List the built-in scenarios, and what --set may change in each."""
    found = [load_scenario(name) for name in built_in()]
    if as_json:
        terminal.show_json(
            [{"name": each.name, "summary": each.summary, "parameters": each.parameters} for each in found]
        )
        return
    terminal.show(*listed(found))


@lab.command()
@click.argument("scenario")
@_seeds
@_first_seed
@_set
@directory_option
@_open
@click.option(
    "--fidelity", type=click.Choice(["tree", "full"]), help="tree: blocks only, fast; full: the nodes' own code."
)
@json_option
def simulate(
    scenario: str,
    seeds: int,
    first_seed: int,
    settings: tuple[str, ...],
    data_dir: Path,
    opens: bool,
    fidelity: Fidelity | None,
    as_json: bool,
) -> None:
    """Run a scenario on simulated nodes in virtual time, once for each seed.

    SCENARIO is a built-in one or a file. The same seed gives the same run. The recording is of the first seed that did
    not hold, or of the first one.
    """
    with refusals():
        found = load_scenario(scenario)
        given = read_parameters(found, settings)
        with bar(found.name, quiet=as_json, unit="seeds") as progress:
            result = run_seeds(
                scenario,
                fidelity or found.fidelity,
                range(first_seed, first_seed + seeds),
                given,
                data_dir,
                lambda done: progress(done, seeds),
            )
        if opens and result.recording is not None:
            open_page(read_file(Path(result.recording)), Path(result.recording))
    show_result(result, as_json)


@lab.command()
@click.argument("scenario")
@click.option("--seed", type=click.IntRange(0, 2**53), default=1, show_default=True, help="For the scenario's draws.")
@_set
@directory_option
@json_option
def run(scenario: str, seed: int, settings: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """Run a scenario on real nodes on this machine, with real proof of work.

    SCENARIO is a built-in one or a file. What happens is printed as it happens.
    """
    with refusals():
        found = load_scenario(scenario)
        given = read_parameters(found, settings)
        make, _ = real_lab(found.nodes(given))
        result = run_real(found, make, seed, given, data_dir, None if as_json else tell)
    show_result(result, as_json)


def tell(event: Event) -> None:
    """Show an event as it happens."""
    lines = list(lines_of([event]))
    if lines:  # of most events a person wants to see nothing
        terminal.show_if_taken(*lines)


@lab.command()
@click.argument("strategy")
@click.option("--seeds", type=click.IntRange(2, MOST_SEEDS), default=100, show_default=True, help="How many seeds.")
@_first_seed
@click.option("--alpha", type=click.FloatRange(0.01, 0.99), multiple=True, help="Shares of the hash rate to try.")
@click.option("--blocks", type=click.IntRange(100, 1_000_000), default=2000, show_default=True, help="Blocks per seed.")
@json_option
def grade(strategy: str, seeds: int, first_seed: int, alpha: tuple[float, ...], blocks: int, as_json: bool) -> None:
    """Measure what the strategy in a file earns against honest miners.

    Each verdict says whether it earns no less than its share of the hash rate, which an honest miner earns.
    """
    with refusals():
        result = grade_strategy(Path(strategy), alpha or (0.2, 0.3, 0.4), range(first_seed, first_seed + seeds), blocks)
    show_result(result, as_json)


@lab.command()
@click.argument("recording", type=click.Path(path_type=Path))
@_open
@json_option
def replay(recording: Path, opens: bool, as_json: bool) -> None:
    """Print what happened in a recording, and its verdicts again."""
    with refusals():
        events = read_file(recording)
        if opens:
            open_page(events, recording)
        if as_json:
            terminal.show_json(_result_of(events, recording).to_object())
        else:
            terminal.show(*lines_of(events))
    _end(_result_of(events, recording))


@lab.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.argument("page", type=click.Path(path_type=Path, dir_okay=False))
def export(recording: Path, page: Path) -> None:
    """Write a recording as one HTML file, to hand in or to attach to a bug report.

    The file needs no server and no network.
    """
    with refusals():
        write_page(read_file(recording), page, recording)
    terminal.show(f"Written: {page}")


@lab.command()
@click.option("--nodes", type=click.IntRange(1, MOST_NODES), default=4, show_default=True, help="How many nodes.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The page's port. [default: any free one]")
@click.option("--hash-rate", default="500kH/s", show_default=True, help="The hash-rate limit of each node at first.")
@click.option("--simulated", is_flag=True, help="Simulated nodes: blocks and strategies only, no processes.")
@click.option("--rpc", "doors", is_flag=True, help="Nodes serve WebSockets for wallets and tools, too.")
@click.option("--speed", type=click.FloatRange(0.1, 1000), default=1.0, show_default=True, help="Of simulated time.")
@directory_option
def up(nodes: int, port: int, hash_rate: str, simulated: bool, doors: bool, speed: float, data_dir: Path) -> None:
    """Start a network, and a page from which to break it.

    The nodes are real, with real proof of work, unless --simulated is given. Ctrl-C ends the network. Everything that
    happened is in the recording.
    """
    with refusals():
        if doors and simulated:
            raise LabError("Simulated nodes serve nobody: --rpc is for real ones.")
        make, strategies = _simulated_lab() if simulated else real_lab(nodes, doors=doors)
        path = run_session(
            make,
            "simulated" if simulated else "real",
            nodes,
            port,
            hash_rate,
            data_dir,
            terminal.show_if_taken,
            strategies,
            speed,
        )
    terminal.show_if_taken(f"Recording: {path}")


@lab.command()
@click.argument("nodes", nargs=-1, required=True, metavar="URL...")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the controls. [default: any free one]")
@click.option(
    "--proxy",
    "proxies",
    type=click.IntRange(0, 65535),
    multiple=True,
    help="The port of a node's proxy, in the order of the nodes; repeatable. [default: any free one]",
)
@json_option
def router(nodes: tuple[str, ...], port: int, proxies: tuple[int, ...], as_json: bool) -> None:
    """Carry what nodes say to each other, and part them on request.

    URL is a node of this machine, not yet started: give it its proxy as QUARRY_PEER_PROXY. docs/lab.md shows what the
    controls take. Ctrl-C ends the router.
    """
    from lab.real.network import serve_network

    with refusals():
        if proxies and len(proxies) != len(nodes):
            raise LabError(f"--proxy is given {len(proxies)} times for {len(nodes)} nodes: once for each, or never.")

        def tell(record: dict[str, Any]) -> None:
            if as_json:
                terminal.show_json(record)
            else:
                lines = [f"Node {node['number']} at {node['url']}: {node['proxy']}" for node in record["nodes"]]
                terminal.show(*lines, f"Controls: {record['url']}  Ctrl-C ends it.")

        serve_network(nodes, port, proxies or (0,) * len(nodes), tell)


def real_lab(nodes: int, *, doors: bool = False) -> tuple[MakeLab, Mapping[str, Callable[[], Strategy]]]:
    """What makes a lab of real nodes, and which strategies its page offers.

    Args:
        doors: whether each node serves JSON-RPC on a port of its own, too.

    Raises:
        LabError: there is no room.
    """
    from lab.real.lab import RealLab, require_room
    from lab.strategies import OFFERED

    require_room(nodes)
    logs.configure("error", "console")
    return partial(RealLab, doors=doors), OFFERED


def _simulated_lab() -> tuple[MakeLab, Mapping[str, Callable[[], Strategy]]]:
    from lab.strategies import OFFERED

    return simulated_lab("tree"), OFFERED


def _result_of(events: list[Event], path: Path) -> Result:
    begin = events[0].fields
    verdicts = [Verdict(**event.fields) for event in events if event.kind == "verdict"]
    return Result(str(begin["scenario"]), begin["world"], [begin["seed"]], verdicts, str(path))


def show_result(result: Result, as_json: bool) -> None:
    """Show what came of a run, and exit with 1 if a verdict did not hold."""
    if as_json:
        terminal.show_json(result.to_object())
    else:
        for verdict in result.verdicts:
            word, colour = ("held", "green") if verdict.held else ("did not hold", "red")
            terminal.show(f": {figures(verdict)}", mark=word, colour=colour)
        if result.recording is not None:
            terminal.show(f"Recording: {result.recording}{result.seed_of_recording}")
    _end(result)


def _end(result: Result) -> None:
    if not result.held:
        sys.exit(FAILED)


def main(arguments: list[str]) -> Any:
    """Run `quarry lab` with arguments, and exit."""
    try:
        lab.main(arguments, prog_name="quarry lab")
    finally:
        terminal.settle()
