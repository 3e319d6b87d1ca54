"""A scenario is run and judged; what it raises is a verdict that did not hold, and the lab is closed in any case."""

from __future__ import annotations

import io
import json
import time
from contextlib import ExitStack
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from lab import runner
from lab.interface import LabError
from lab.loading import Scenario, load_scenario
from lab.recording import read_recording
from lab.runner import in_processes, new_recording, observe, run_real, run_seeds, spec_of
from lab.simulated.tree.lab import TreeLab
from lab.verdicts import judge_all
from services.settings.table import load_spec
from shared.chain_spec import ChainSpec
from tests.support.fake_lab import FakeLab
from tests.support.waiting import eventually

made: list[FakeLab] = []


def make(nodes: int, spec: ChainSpec, seed: int, recorder: Any) -> FakeLab:
    made.append(FakeLab(nodes, spec, seed, recorder))
    return made[-1]


def scenario(run: Any, **more: Any) -> Scenario:
    fields = {"name": "own", "text": "x", "parameters": {"nodes": 2}, "fidelity": "tree", "spec_changes": {}}
    return Scenario(run=run, **{**fields, **more})


def test_a_run_leaves_a_recording_that_can_be_read_with_its_verdicts() -> None:
    out = io.StringIO()

    def run(lab: Any, nodes: int) -> None:
        lab.say("Look.")
        lab.check("it works", True)
        lab.measure("share", 0.5, expected=0.4, trials=10)

    observations = observe(scenario(run), make, "real", 3, {}, out)
    events = read_recording(out.getvalue().splitlines(keepends=True))
    assert [event.kind for event in events] == ["begin", "said", "verdict", "verdict", "end"]
    assert events[0].fields["parameters"] == {"nodes": 2} and events[0].fields["seed"] == 3
    verdicts = [event.fields for event in events if event.kind == "verdict"]
    assert verdicts == [verdict.to_object() for verdict in judge_all([observations])]
    assert made[-1].calls == [("close",)]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LabError("There is no node 9: the lab has 2."), "(There is no node 9: the lab has 2.)"),
        (KeyError("nothing"), "KeyError: 'nothing'"),
        (RecursionError("deep"), "RecursionError"),
    ],
)
def test_what_a_scenario_raises_did_not_hold(error: Exception, said: str) -> None:
    def run(lab: Any, nodes: int) -> None:
        lab.check("before", True)
        raise error

    first, last = observe(scenario(run), make, "real", 1, {}, None)
    assert first.held and not last.held and last.claim.startswith("the scenario ran to its end") and said in last.claim
    assert made[-1].calls == [("close",)]


def test_a_lab_that_does_not_start_is_a_verdict() -> None:
    def broken(*_: Any) -> Any:
        raise LabError("The lab does not start: no port is free.")

    (only,) = observe(scenario(lambda lab, nodes: None), broken, "real", 1, {}, None)
    assert not only.held and "no port is free" in only.claim


def test_a_scenario_without_claims_says_that_it_ended() -> None:
    (only,) = observe(scenario(lambda lab, nodes: None), make, "real", 1, {}, None)
    assert only.held and only.claim == runner.ENDED


def test_an_interrupt_closes_the_lab_and_leaves_a_whole_recording() -> None:
    def run(lab: Any, nodes: int) -> None:
        lab.check("before", True)
        raise KeyboardInterrupt

    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        observe(scenario(run), make, "real", 1, {}, out)
    assert made[-1].calls == [("close",)]
    verdicts = [event.fields for event in read_recording(io.StringIO(out.getvalue())) if event.kind == "verdict"]
    assert [each["claim"] for each in verdicts] == ["before", f"{runner.ENDED} (interrupted)"]
    assert [each["held"] for each in verdicts] == [True, False]


@pytest.mark.parametrize(
    "figure",
    [
        lambda lab: lab.check("x", True, float("nan")),
        lambda lab: lab.check("x", True, "much"),
        lambda lab: lab.measure("x", float("inf")),
        lambda lab: lab.measure("x", 0.5, expected=float("nan")),
        lambda lab: lab.measure("x", 0.5, trials=-1),
        lambda lab: lab.measure("x", 1.5, trials=10),
        lambda lab: lab.check("x", True, 10**400),
    ],
)
def test_a_figure_that_is_none_is_the_scenarios_mistake(figure: Any) -> None:
    out = io.StringIO()
    with TreeLab(1, load_spec("lab"), 1) as lab:
        (only,) = observe(scenario(lambda _, nodes: figure(lab)), make, "real", 1, {}, out)
    assert not only.held and ("A figure is a number" in only.claim or "A share of" in only.claim)
    assert read_recording(io.StringIO(out.getvalue()))


def test_what_is_said_and_claimed_is_text(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text('"""x."""\n\n\ndef run(lab):\n    lab.say(5)\n    lab.check(None, 1)\n    raise SystemExit(3)\n')
    for fidelity in ("tree", "full"):
        result = run_seeds(str(path), fidelity, range(1, 2), {}, tmp_path / fidelity)  # type: ignore[arg-type]
        first, last = result.verdicts
        assert (first.claim, first.held, last.held) == ("None", True, False) and "SystemExit: 3" in last.claim
        with open(str(result.recording)) as lines:
            assert "5" in [event.fields["text"] for event in read_recording(lines) if event.kind == "said"]


def test_changes_of_the_spec_make_another_chain() -> None:
    base = spec_of(scenario(lambda lab: None))
    changed = spec_of(scenario(lambda lab: None, spec_changes={"block_interval": 2}))
    assert (base.chain_id, changed.chain_id) == (847734, 847735)
    assert (base.block_interval, changed.block_interval) == (0, 2)
    for wrong in ({"block_interval": -1}, {"blocks": 3}):
        with pytest.raises(LabError, match="own: SPEC_CHANGES: "):
            spec_of(scenario(lambda lab: None, spec_changes=wrong))


def test_the_recording_is_of_the_first_seed_that_did_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text('"""x."""\n\n\ndef run(lab):\n    lab.check("the seed is below 3", lab.seed < 3, lab.seed)\n')
    progress: list[int] = []
    result = run_seeds(str(path), "tree", range(1, 6), {}, tmp_path / "out", progress.append)
    assert progress == [1, 2, 3, 4, 5] and not result.held and result.seeds == [1, 2, 3, 4, 5]
    assert result.recording is not None and result.recording.endswith("odd-simulated-3.jsonl")
    with open(result.recording) as lines:
        assert read_recording(lines)[0].fields["seed"] == 3
    assert run_seeds(str(path), "tree", range(1, 3), {}, tmp_path / "out").held


def test_recordings_never_share_a_file(tmp_path: Path) -> None:
    """Two labs may begin in the same second, in one directory."""
    kinds = [{"scenario": "up", "world": "real", "seed": 7}] * 3
    with ExitStack() as stack:
        opened = [stack.enter_context(new_recording(tmp_path, **kind)) for kind in kinds]  # type: ignore[arg-type]
        for number, (_, out) in enumerate(opened):
            out.write(f"{number}\n")
    assert [path.name for path, _ in opened] == ["up-real-7.jsonl", "up-real-7-2.jsonl", "up-real-7-3.jsonl"]
    assert [path.read_text() for path, _ in opened] == ["0\n", "1\n", "2\n"]
    first, second = (run_real(scenario(lambda lab, nodes: None), make, 1, {}, tmp_path).recording for _ in range(2))
    assert first != second and Path(str(first)).exists() and Path(str(second)).exists()


def test_what_has_happened_is_in_the_file_at_once(tmp_path: Path) -> None:
    """Whoever reads it while the lab runs, or after it was killed, sees everything."""

    def run(lab: Any, nodes: int) -> None:
        lab.say("now")
        (path,) = tmp_path.glob("*.jsonl")
        assert path.read_text().endswith('"text":"now"}\n')

    assert run_real(scenario(run), make, 1, {}, tmp_path).held


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match=r"recording .* cannot be written"):
        run_real(scenario(lambda lab, nodes: None), make, 1, {}, tmp_path / "file" / "below")


def test_the_same_seed_gives_the_same_recording(tmp_path: Path) -> None:
    texts = set()
    for directory in ("a", "b"):
        result = run_seeds("selfish", "tree", range(5, 6), {"blocks": 100}, tmp_path / directory)
        texts.add(Path(str(result.recording)).read_text())
    assert len(texts) == 1 and json.loads(texts.pop().splitlines()[0])["seed"] == 5
    assert load_scenario("selfish").fidelity == "tree"


def test_processes_end_when_nobody_asks_for_more_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.os, "cpu_count", lambda: 2)
    before = set(active_children())
    found = in_processes(time.sleep, range(0, 400, 100))
    next(found)
    assert set(active_children()) - before
    found.close()
    eventually(lambda: not set(active_children()) - before, 20, "the end of the processes")
