"""What a strategy earns against honest miners: for whoever wrote it, and for a teacher with a class of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from lab.loading import load_strategy
from lab.measures import revenue_share
from lab.recording import Recorder
from lab.runner import Result, in_processes, simulated
from lab.verdicts import JUDGED, Verdict, mean_interval
from services.settings.table import load_spec

_INTERVAL = 1.0  # seconds per block, virtual
_REPORTED = "the strategy "


def grade_strategy(path: Path, alphas: Sequence[float], seeds: range, blocks: int) -> Result:
    """Run the strategy in a file with each share of the hash rate, against honest miners, once per seed.

    Each verdict holds unless the strategy earns less than its share of the hash rate: an honest miner earns that.

    Raises:
        LabError: the file has no strategy.
    """
    load_strategy(str(path))  # its errors, before processes are started
    verdicts = []
    for alpha in alphas:
        runs = list(in_processes(partial(_one, str(path), alpha, blocks), seeds))
        problems = [problem for _, problem in runs if problem is not None]
        if problems:
            verdicts.append(Verdict(f"{path.name} answers at every block ({problems[0]})", held=False))
            continue
        shares = [share for share, _ in runs]
        low, high = mean_interval(shares)
        verdicts.append(
            Verdict(
                f"{path.name} earns its share with {alpha:.0%} of the hash rate",
                held=mean_interval(shares, JUDGED)[1] >= alpha,
                value=fmean(shares),
                low=low,
                high=high,
                expected=alpha,
            )
        )
    return Result(path.stem, "simulated", list(seeds), verdicts, None)


def _one(path: str, alpha: float, blocks: int, seed: int) -> tuple[float, str | None]:
    """The share of the main chain that the strategy found, and why it was dropped, if it was."""
    spec = load_spec("lab")
    recorder = Recorder()
    lab = simulated("tree")(2, spec, seed, recorder)
    try:
        rate = spec.difficulty / _INTERVAL
        lab.node(1).limit(alpha * rate)
        lab.node(2).limit((1 - alpha) * rate)
        lab.strategy(1, load_strategy(path)())
        lab.run_for(blocks * _INTERVAL)
        said = [str(event.fields["text"]) for event in recorder.events if event.kind == "said"]
        problem = next((text for text in said if text.lower().startswith(_REPORTED)), None)
        return revenue_share(lab.blocks(), 1), problem
    finally:
        lab.close()
