"""`quarry bench`: the benchmarks of the source checkout, as a command."""

import os
import subprocess
import sys
from importlib.util import find_spec

import click

from api.cli.group import FAILED, Failure
from services.system.programs import ROOT, module_command, module_path


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@click.option("--quick", is_flag=True, help="Shorter runs, for a first look.")
@click.option("--plots", metavar="DIRECTORY", type=click.Path(file_okay=False), help="Write PNG files there.")
def bench(names: tuple[str, ...], as_json: bool, quick: bool, plots: str | None) -> None:
    """Measure this machine: hash rate, workers, /mine, submission, memory, catching up.

    Each figure is printed beside its target and what it is compared with. It starts nodes of its own, in temporary
    directories, and takes some minutes. Exit code 1: a target was missed.
    """
    if find_spec("benchmarks") is None and not (ROOT / "benchmarks").is_dir():
        raise Failure("The benchmarks are part of the source checkout, which this installation is not.")
    arguments = [*names, *(["--json"] if as_json else []), *(["--quick"] if quick else [])]
    arguments += ["--plots", plots] if plots else []
    # A process of its own: measuring needs what the door to people may not import.
    environment = os.environ | module_path(os.environ)
    code = subprocess.run(module_command("benchmarks", *arguments), env=environment, check=False).returncode
    if code:
        sys.exit(code if code > 0 else FAILED)
