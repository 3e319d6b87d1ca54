"""The programs of `python -m worker`: their arguments, and how their errors are told."""

import argparse
import os
import sys
from pathlib import Path

from services.errors import BadSettings
from services.jobs.queues import MINING, NETWORK
from services.settings.table import load
from services.system.loading import keep, uncollected
from services.system.visible import escaped
from shared.errors import NodeError


def main(arguments: list[str]) -> int:
    """Run one process until it is told to stop; its exit code (2: wrong usage or settings)."""
    parser = argparse.ArgumentParser("worker")
    programs = parser.add_subparsers(dest="program", required=True)
    programs.add_parser("worker").add_argument("--queue", required=True, choices=(MINING, NETWORK))
    programs.add_parser("ticker")
    state = programs.add_parser("state")
    state.add_argument("action", choices=("load", "dump"))
    state.add_argument("file", type=Path)
    state.add_argument("--resume", action="store_true")
    miner = programs.add_parser("miner")
    for option in ("url", "name", "kernel"):
        miner.add_argument(f"--{option}", required=True)
    miner.add_argument("--address")
    miner.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args(arguments)
    if chosen.program == "miner":  # it has no node, and so no settings
        from worker.miner.program import Mine, run_miner

        # Not an argument, which other users of the machine see.
        voucher = os.environ.get("QUARRY_VOUCHER") or parser.error("QUARRY_VOUCHER is not set")
        told = (chosen.url, voucher, chosen.name, chosen.address, chosen.workers, chosen.kernel)
        return run_miner(Mine(*told))
    try:
        settings = load(os.environ)
        if chosen.program == "ticker":
            with uncollected():
                from worker.ticker import run_ticker
            keep()
            run_ticker(settings)
        elif chosen.program == "state":
            from worker.state_files import run_state

            run_state(settings, chosen.action, chosen.file, resume=chosen.resume)
        else:
            with uncollected():
                from worker.process import run_worker  # not for the ticker, which needs no kernel
            keep()
            run_worker(settings, chosen.queue)
    except NodeError as error:
        if chosen.program != "state" and not isinstance(error, BadSettings):
            raise
        print(f"quarry: {escaped(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, BadSettings) else 1
    return 0
