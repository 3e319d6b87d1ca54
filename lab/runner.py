"""Run a scenario once, or once per seed, and judge what was seen."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing import active_children, forkserver, get_context, parent_process
from pathlib import Path
from typing import Any, TextIO, TypeVar

from lab import recording
from lab.interface import Lab, LabError, World
from lab.loading import Fidelity, Scenario, Value, describe_error, load_scenario
from lab.recording import Event, Recorder
from lab.seeds import written
from lab.verdicts import Observation, Verdict, judge_all
from services.settings.table import load_spec
from services.system.interrupts import interrupts_ignored, interrupts_wait
from shared.chain_spec import BadChainSpec, ChainSpec, spec_from_object

T = TypeVar("T")

SPEC = "lab"
ENDED = "the scenario ran to its end"

# number of nodes, spec, seed, recorder -> a lab
MakeLab = Callable[[int, ChainSpec, int, Recorder], Lab]


@dataclass(frozen=True)
class Result:
    """What came of a scenario: of one run, or of all seeds together."""

    scenario: str
    world: World
    seeds: list[int]
    verdicts: list[Verdict]
    recording: str | None  # path
    recorded: int | None = None  # the seed of the run in it, if that was a simulated one

    @property
    def seed_of_recording(self) -> str:
        """By which seed the recorded run is repeated, in brackets; "" for a run that no seed repeats."""
        return "" if self.recorded is None else f" (seed {written(self.recorded)})"

    @property
    def held(self) -> bool:
        return all(verdict.held for verdict in self.verdicts)

    def to_object(self) -> dict[str, Any]:
        """What `--json` prints; `docs/lab.md` promises its names."""
        return {
            "scenario": self.scenario,
            "world": self.world,
            "seeds": self.seeds,
            "verdicts": [verdict.to_object() for verdict in self.verdicts],
            "recording": self.recording,
        }


def spec_of(scenario: Scenario) -> ChainSpec:
    """The built-in spec `lab` with the scenario's changes. A changed spec is another chain, so it has another id.

    Raises:
        LabError: the changes make no chain spec.
    """
    base = load_spec(SPEC)
    if not scenario.spec_changes:
        return base
    try:
        return spec_from_object({**base.to_object(), "chain_id": base.chain_id + 1, **scenario.spec_changes})
    except BadChainSpec as error:
        raise LabError(f"{scenario.name}: SPEC_CHANGES: {error}") from None


def observe(
    scenario: Scenario,
    make: MakeLab,
    world: World,
    seed: int,
    given: Mapping[str, Value],
    out: TextIO | None,
    tell: Callable[[Event], None] | None = None,
) -> list[Observation]:
    """Run a scenario once. Whatever it raises becomes an observation; the lab is closed in any case.

    Args:
        out: where the recording goes; None: nowhere.
        tell: called with each event as it happens, before the verdicts.
    """
    parameters = {**scenario.parameters, **given}
    nodes, spec = scenario.nodes(given), spec_of(scenario)
    recorder = Recorder(out, tell)
    recorder.note(
        0.0, "begin", recording=recording.VERSION, scenario=scenario.name, world=world, seed=seed, nodes=nodes,
        spec=spec.to_object(), parameters=parameters,
    )  # fmt: skip
    observations: list[Observation] = []
    lab: Lab | None = None
    failed: str | None = None
    try:
        lab = make(nodes, spec, seed, recorder)
        scenario.run(lab, **parameters)
    except LabError as error:
        failed = str(error)
    except (Exception, SystemExit) as error:
        failed = describe_error(error, scenario.name)
    except BaseException:
        failed = "interrupted"
        raise
    finally:
        with interrupts_ignored():
            if lab is not None:
                observations += lab.observations
                lab.close()
            if failed is not None:
                observations.append(Observation(f"{ENDED} ({failed})", held=False))
            elif not observations:
                observations.append(Observation(ENDED))
            _end(recorder, observations)
    return observations


def _end(recorder: Recorder, observations: list[Observation]) -> None:
    """Write the verdicts and the end of a recording."""
    end = recorder.events[-1].t
    for verdict in judge_all([observations]):
        recorder.note(end, "verdict", **verdict.to_object())
    recorder.end()


def run_seeds(
    source: str,
    fidelity: Fidelity,
    seeds: range,
    given: Mapping[str, Value],
    directory: Path | None,
    progress: Callable[[int], None] = lambda done: None,
) -> Result:
    """Run a scenario in the simulated world, once for each seed, on all cores.

    Args:
        source: name or path of the scenario; each process loads it.
        directory: where the recording of the first seed goes that did not hold, or of the first seed; None: nowhere.
        progress: called with the number of seeds that are done.
    """
    scenario = load_scenario(source)
    runs: list[list[Observation]] = []
    one = partial(_seed, source, fidelity, dict(given))
    for observations in in_processes(one, seeds):
        runs.append(observations)
        progress(len(runs))
    verdicts = judge_all(runs)
    path, seed = None, None
    if directory is not None:
        broken = [index for index, run in enumerate(runs) if not all(each.held for each in run)]
        seed = seeds[broken[0] if broken else 0]
        with new_recording(directory, scenario.name, "simulated", seed) as (path, out):
            observe(scenario, simulated(fidelity), "simulated", seed, given, out)
    return Result(scenario.name, "simulated", list(seeds), verdicts, None if path is None else str(path), seed)


def run_real(
    scenario: Scenario,
    make: MakeLab,
    seed: int,
    given: Mapping[str, Value],
    directory: Path,
    tell: Callable[[Event], None] | None = None,
) -> Result:
    """Run a scenario once on real nodes."""
    with new_recording(directory, scenario.name, "real", seed) as (path, out):
        observations = observe(scenario, make, "real", seed, given, out, tell)
    return Result(scenario.name, "real", [seed], judge_all([observations]), str(path))


def simulated(fidelity: Fidelity) -> MakeLab:
    """What makes simulated labs of a fidelity."""
    if fidelity == "tree":
        from lab.simulated.tree.lab import TreeLab

        return TreeLab
    from lab.simulated.lab import SimulatedLab

    return SimulatedLab


@contextmanager
def new_recording(directory: Path, scenario: str, world: World, seed: int) -> Iterator[tuple[Path, TextIO]]:
    """A new file to record into, and its path. A number is added to the name of one that is there already.

    Raises:
        LabError: it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path, out = _create(directory / f"{scenario}-{world}-{seed}")
        with out:
            yield path, out
    except OSError as error:
        place = directory / f"{scenario}-{world}-{seed}.jsonl"
        raise LabError(f"The recording {place} cannot be written: {error.strerror}.") from None


def _create(stem: Path) -> tuple[Path, TextIO]:
    """Two labs that begin at the same time get two files: each is created, never opened."""
    for number in count(1):
        path = stem.with_name(f"{stem.name}{f'-{number}' * (number > 1)}.jsonl")
        with suppress(FileExistsError):
            return path, path.open("x", buffering=1, encoding="ascii")  # what has happened is in the file at once
    raise AssertionError("the count has no end")


def _seed(source: str, fidelity: Fidelity, given: Mapping[str, Value], seed: int) -> list[Observation]:
    return observe(load_scenario(source), simulated(fidelity), "simulated", seed, given, None)


def in_processes(one: Callable[[int], T], seeds: range) -> Iterator[T]:
    """What `one` gives for each seed, in the order of the seeds, with one process for each core.

    The processes end when the caller stops asking, also because it was interrupted. Ctrl-C reaches only the caller.
    """
    cores = min(len(seeds), os.cpu_count() or 1)
    if cores == 1:
        yield from map(one, seeds)
        return
    with interrupts_ignored():
        forkserver.ensure_running()
    others = set(active_children())
    with ProcessPoolExecutor(cores, get_context("forkserver"), _end_with_parent) as pool:
        try:
            at_once = max(1, min(32, len(seeds) // (cores * 4)))
            # Not `pool.map`: it cancels what waits, and the pool's own thread then fails with a traceback when the
            # processes end. A process whose start is interrupted would not be known, and fail with a traceback, too.
            with interrupts_wait():
                waiting = [pool.submit(_all, one, seeds[at : at + at_once]) for at in range(0, len(seeds), at_once)]
            for found in waiting:
                yield from found.result()
        except BaseException:
            for process in set(active_children()) - others:
                process.terminate()
            raise


def _end_with_parent() -> None:
    """Have this process end with the one that wants its answers, also if that is killed: it would wait for more."""
    parent = parent_process()
    assert parent is not None, "it was started for its seeds"

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()


def _all(one: Callable[[int], T], seeds: range) -> list[T]:
    return [one(seed) for seed in seeds]
