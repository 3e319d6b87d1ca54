"""`quarry attack`: its commands. Exit codes and `--json` are those of `quarry lab run`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from api.cli import terminal
from api.cli.options import json_option
from lab.attack.application import Application
from lab.attack.asked import MOST_DEPTH, Asked, read_asked
from lab.attack.double_spend import DoubleSpend
from lab.attack.joining import NAME, join, running_lab
from lab.cli import LabGroup, directory_option, real_lab, refusals, show_result, tell
from lab.interface import Lab, LabError
from lab.loading import Scenario
from lab.real.lab import RealLab
from lab.runner import Result, run_real

_NODES = 3
_ENDING = 5.0  # seconds that the application's program gets to end


@click.group(
    cls=LabGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 every verdict held, 1 one did not, 2 wrong usage, 130 interrupted.",
)
def attack() -> None:
    """Attack an application of your own, on this machine, before somebody else does."""


@attack.command("double-spend")
@click.option("--against", required=True, metavar="URL", help="Where it says whether it credits.")
@click.option("--depth", required=True, metavar="N", type=click.IntRange(0, MOST_DEPTH), help="Undo up to N of them.")
@click.option("--pay-to", required=True, metavar="ADDRESS", help="Where it expects the payment.")
@click.option("--amount", default="0.5", metavar="COINS", show_default=True)
@click.option("--credited", default="credited=true", show_default=True, metavar="NAME=VALUE", help="Its answer.")
@click.option("--wait", default=5.0, show_default=True, metavar="S", help="Seconds for each confirmation.")
@click.option("--patience", default=60.0, show_default=True, metavar="S", help="Seconds until it answers.")
@click.option("--node", default=2, show_default=True, metavar="NODE", help="The node that it watches.")
@directory_option
@json_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def double_spend(
    against: str,
    depth: int,
    pay_to: str,
    amount: str,
    credited: str,
    wait: float,
    patience: float,
    node: int,
    data_dir: Path,
    as_json: bool,
    command: tuple[str, ...],
) -> None:
    """Pay an application, wait until it credits, and undo the payment.

    GET URL answers {"credited": true} or false; {id}, {address} and {amount} in
    URL stand for the payment. A lab of `quarry lab up` is joined, else one is
    started, and in it COMMAND, with QUARRY_URL and QUARRY_RPC_URL of the node.
    """
    with refusals():
        asked = read_asked(
            {
                "against": against,
                "depth": depth,
                "pay_to": pay_to,
                "amount": amount,
                "credited": credited,
                "node": node,
                "wait": wait,
                "patience": patience,
            }
        )
        application = Application(against, credited)
        page = None if command else running_lab(data_dir)
        if page is not None:
            if not as_json:
                terminal.show_if_taken(f"The lab at {page} attacks {against}")
            result = join(page, asked)
        else:
            result = _with_own_lab(asked, application, command, data_dir, as_json)
    show_result(result, as_json)


def _with_own_lab(
    asked: Asked, application: Application, command: tuple[str, ...], directory: Path, as_json: bool
) -> Result:
    if not 1 <= asked.node <= _NODES:
        raise LabError(f"The lab of an attack has the nodes 1 to {_NODES}, and no node {asked.node}.")

    def run(lab: Lab, *, nodes: int) -> None:
        assert isinstance(lab, RealLab), "made by `real_lab`"
        for node in lab.nodes:
            node.limit(None)
        watched = lab.node(asked.node)
        lab.say(f"The application's node: {watched.url} (JSON-RPC: {watched.rpc_url})")
        with _program(command, {"QUARRY_URL": watched.url, "QUARRY_RPC_URL": watched.rpc_url}, lab):
            DoubleSpend(lab, application, asked, lab.check).run()

    make, _ = real_lab(_NODES)
    scenario = Scenario(NAME.replace(" ", "-"), str(__doc__), run, {}, "full", {})
    return run_real(scenario, make, 1, {"nodes": _NODES}, directory, None if as_json else tell)


@contextmanager
def _program(command: tuple[str, ...], variables: dict[str, str], lab: RealLab) -> Iterator[None]:
    """The application's own program while the block runs; what it prints goes to standard error.

    Raises:
        LabError: it cannot be started.
    """
    if not command:
        yield
        return
    try:
        process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise LabError(f"{command[0]} cannot be started: {error.strerror}.") from None
    lab.end_with_lab(process.pid)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING)
                break


def main(arguments: list[str]) -> None:
    """Run `quarry attack` with arguments, and exit."""
    try:
        attack.main(arguments, prog_name="quarry attack")
    finally:
        terminal.settle()
