"""`quarry bench`: run the benchmarks of a source checkout."""

import os
import subprocess
import sys
from importlib.util import find_spec

import click

from api.cli.group import FAILED, Failure
from services.system.programs import ROOT, module_command, module_path


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@click.option("--quick", is_flag=True, help="Make shorter runs, for a first look.")
@click.option(
    "--plots",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False),
    help="Write plots to this directory, as PNG files.",
)
def bench(names: tuple[str, ...], as_json: bool, quick: bool, plots: str | None) -> None:
    """Measure this machine: hash rate, workers, /mine, submission, memory, catching up and more.

    Each figure is printed with its target and what it is compared with. The benchmarks start their own nodes in
    temporary directories and take several minutes. Name some to run only those. Exit code 1: a benchmark failed, or a
    target was missed.
    """
    if find_spec("benchmarks") is None and not (ROOT / "benchmarks").is_dir():
        raise Failure("The benchmarks are not installed; run `quarry bench` from a checkout of Quarry's source.")
    arguments = [*names, *(["--json"] if as_json else []), *(["--quick"] if quick else [])]
    arguments += ["--plots", plots] if plots else []
    # In a process of its own: the benchmarks import `worker`, which modules of `api` must not.
    environment = os.environ | module_path(os.environ)
    code = subprocess.run(module_command("benchmarks", *arguments), env=environment, check=False).returncode
    if code:
        sys.exit(code if code > 0 else FAILED)
