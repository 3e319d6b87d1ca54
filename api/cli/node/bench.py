"""`quarry bench`: run the benchmarks of a source checkout."""

import os
import subprocess
import sys
from importlib.util import find_spec

import click

from api.cli import terminal
from api.cli.group import FAILED, USAGE, Failure
from api.cli.suggestions import did_you_mean
from api.cli.table import Column, table
from services.system.programs import ROOT, module_command, module_path

# Name: what it measures. The names are those of `benchmarks/__main__.py`, which is not there where Quarry is installed.
BENCHMARKS = {
    "mining": "hash rate, workers, commands, memory, stopping",
    "limit": "the hash-rate limit, at four rates",
    "leases": "miners over HTTP, their speed and their cost",
    "latency": "/mine against the tutorial's search",
    "submission": "signed transactions over HTTP",
    "storage": "bytes in Redis; idle memory of a node",
    "restore": "a backup of 100,000 blocks, and its restore",
    "rpc": "JSON-RPC beside anvil and ganache",
    "door": "JSON-RPC over HTTP and WebSocket, subscribers",
    "catch_up": "nodes that are behind; a deep reorganisation",
    "ledger": "checking a chain of 100,000 blocks",
    "sealers": "checking a sealed chain, beside an open one",
    "browser_miner": "the search of the page /join",
    "explorer": "every page on a long chain; event streams",
    "strangers": "hundreds of hostile connections",
    "router": "the lab's router, beside none",
    "timestamps": "false timestamps and the block interval",
    "lab": "the simulated lab beside theory",
    "lab_nodes": "eight real nodes of a lab",
    "lab_page": "the lab's page in a browser",
    "tie_rules": "rules for two tips of equal work",
    "traces": "a transaction with and without traces",
    "scaling_simulation": "1 to 10,000 workers, simulated",
}


class _Bench(click.Command):
    """A command whose help names the benchmarks."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Benchmarks"):
            formatter.write_text(", ".join(BENCHMARKS))
        super().format_options(ctx, formatter)


def _complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    return [name for name in BENCHMARKS if name.startswith(typed)]


@click.command(cls=_Bench)
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete)
@click.option("--list", "lists", is_flag=True, help="Say what each benchmark measures.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@click.option("--quick", is_flag=True, help="Make shorter runs, for a first look.")
@click.option(
    "--plots",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False),
    help="Write plots to this directory, as PNG files.",
)
def bench(names: tuple[str, ...], lists: bool, as_json: bool, quick: bool, plots: str | None) -> None:
    """Measure this machine by all benchmarks or the named ones, for some minutes.

    Exit code 1: a benchmark failed, or missed its target.
    """
    if lists:
        terminal.show(*table([Column("BENCHMARK"), Column("WHAT IT MEASURES", least=20)], list(BENCHMARKS.items())))
        return
    for name in names:
        if name not in BENCHMARKS:
            meant = did_you_mean(name, BENCHMARKS) or f" There are {', '.join(BENCHMARKS)}."
            raise Failure(f"There is no benchmark {name[:40]!r}.{meant}", USAGE)
    if find_spec("benchmarks") is None and not (ROOT / "benchmarks").is_dir():
        raise Failure("The benchmarks are not installed; run `quarry bench` from a checkout of Quarry's source.")
    arguments = [*names, *(["--json"] if as_json else []), *(["--quick"] if quick else [])]
    arguments += ["--plots", plots] if plots else []
    terminal.say("… starting; Ctrl-C stops the benchmarks and their nodes")
    # In a process of its own: the benchmarks import `worker`, which modules of `api` must not.
    environment = os.environ | module_path(os.environ)
    code = subprocess.run(module_command("benchmarks", *arguments), env=environment, check=False).returncode
    if code:
        sys.exit(code if code > 0 else FAILED)
