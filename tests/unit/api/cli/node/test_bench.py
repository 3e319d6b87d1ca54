"""The benchmarks' own arithmetic: figures, the simulation of many workers, the sizes of claims."""

import hashlib
import io
import json
import os
import subprocess
from importlib import import_module

import pytest
from click.testing import CliRunner

from api.cli.node import bench
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.loops import tutorial_search
from benchmarks.progress import Progress
from benchmarks.report import Figure, Result, as_json, machine, number
from benchmarks.scaling_simulation import LONGEST_REMEDY, SATURATED, Plan, remedied, saturation, simulate
from tests.support.cli import refused, run
from worker.claim_size import LONGEST_SECONDS, SLICE_SECONDS, ClaimSize

SPEED = 100e6
WELL_KNOWN = 35_293  # the proof that follows 100, known from many chains that began with the tutorial


# --- figures ---


@pytest.mark.parametrize(
    ("value", "target", "better", "met"),
    [
        (50.0, 50.0, "higher", True),
        (49.9, 50.0, "higher", False),
        (40.0, 40.0, "lower", True),
        (40.1, 40.0, "lower", False),
    ],
)
def test_a_target_is_met_or_missed(value: float, target: float, better: str, met: bool) -> None:
    figure = Figure("mine.p50_ms", value, "ms", target, better)  # type: ignore[arg-type] # one of the two
    assert figure.met is met
    assert ("met" in figure.line(), "MISSED" in figure.line()) == (met, not met)


def test_a_figure_without_a_target_is_neither() -> None:
    assert Figure("a.b", 1.0, "s").met is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04512, "0.0451"), (1.5, "1.50"), (62.849, "62.85"), (105.52, "105.5"), (24882.4, "24,882"), (3, "3")],
)
def test_numbers_are_for_people(value: float, text: str) -> None:
    assert number(value) == text


def test_json_has_each_figure_under_its_group() -> None:
    result = Result("scaling")
    result.add("two_workers", 1.97312, "times", target=1.9)
    document = json.loads(json.dumps(as_json([result], machine())))
    assert document["scaling"]["two_workers"] == 1.9731
    assert document["figures"]["scaling.two_workers"]["met"] is True
    assert document["machine"]["cores"] >= 1


# --- programs ---


@pytest.mark.parametrize("name", [name for name in BENCHMARKS])
def test_each_benchmark_can_be_run(name: str) -> None:
    assert callable(import_module(f"benchmarks.{name}").run)


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "there is no benchmark nothing" in capsys.readouterr().err


def test_the_help_names_every_benchmark_and_no_other() -> None:
    assert list(bench.BENCHMARKS) == list(BENCHMARKS)
    text = run("bench", "--help", columns=80).stdout
    named = text.partition("Benchmarks:")[2].partition("Options:")[0]
    assert named.replace(",", " ").split() == list(BENCHMARKS)


@pytest.mark.parametrize("name", ["minning", "MINING", "", "--mining", "x" * 9000])
def test_a_wrong_name_is_refused_before_anything_starts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it started"))
    refused(run("bench", name), 2, "mining")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_counts_the_seconds_of_a_step_at_a_terminal() -> None:
    screen = Terminal()
    with Progress(screen) as progress:
        progress.say("one")
        progress.beat()
        progress.say("two")
        progress.pause()
        progress.beat()  # something else was printed: its line is left alone
        progress.say("three")
    assert screen.getvalue() == "… one\r… one, 0 s\n… two\n… three\n"


def test_progress_in_a_pipe_is_one_line_a_step() -> None:
    pipe = io.StringIO()
    with Progress(pipe) as progress:
        progress.say("one")
        progress.beat()
        progress.say("two")
    assert pipe.getvalue() == "… one\n… two\n"


def test_each_benchmark_is_named_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("QUARRY_")]:  # `main` deletes them
        monkeypatch.delenv(name)
    monkeypatch.setattr("benchmarks.__main__.logs.configure", lambda *_: None)
    module = import_module("benchmarks.latency")
    seen: list[str] = []
    monkeypatch.setattr(module, "run", lambda say, quick: seen.append(capsys.readouterr().err) or [])
    assert main(["latency"]) == 0
    assert "1 of 1, latency: /mine at difficulty 65,536" in seen[0]


def test_the_command_passes_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    class Done:
        returncode = 1

    def start(command: list[str], **_: object) -> Done:
        seen.append(command)
        return Done()

    monkeypatch.setattr(subprocess, "run", start)
    result = CliRunner().invoke(bench.bench, ["mining", "--json", "--quick", "--plots", "out"])
    assert result.exit_code == 1
    assert seen[0][seen[0].index("benchmarks") :] == ["benchmarks", "mining", "--json", "--quick", "--plots", "out"]


def test_the_loop_that_is_compared_with_finds_the_tutorials_proof() -> None:
    proof = tutorial_search(100)
    assert proof == WELL_KNOWN
    assert hashlib.sha256(f"100{proof}".encode()).hexdigest().startswith("0000")


# --- the simulation ---


def test_few_workers_lose_next_to_nothing() -> None:
    outcome = simulate(Plan(10))
    assert outcome.efficiency > 0.99 and outcome.busy < 0.01 and not outcome.saturated


def test_a_broker_saturates_where_it_is_said_to() -> None:
    plan = Plan(1, per_claim=1e-3)
    limit = saturation(plan)
    assert 900 < limit < 1500
    below = simulate(Plan(limit // 2, per_claim=1e-3))
    beyond = simulate(Plan(2 * limit, per_claim=1e-3))
    assert below.busy < SATURATED < beyond.busy
    assert beyond.efficiency < 0.6 < 0.9 < below.efficiency


@pytest.mark.parametrize(("times", "brokers"), [(1.3, 1), (20, 40)])
def test_bigger_claims_help_and_then_more_brokers(times: float, brokers: int) -> None:
    plan = Plan(int(times * saturation(Plan(1, per_claim=1e-2))), per_claim=1e-2)
    better = remedied(plan)
    assert plan.longest_claim < better.longest_claim <= LONGEST_REMEDY and (better.brokers > 1) == (brokers > 1)
    outcome = simulate(better)
    assert better.brokers <= brokers and outcome.busy < SATURATED
    assert outcome.efficiency > 1.3 * simulate(plan).efficiency


def test_a_simulation_repeats_itself() -> None:
    assert simulate(Plan(100), seed=5) == simulate(Plan(100), seed=5)


def test_distance_costs_a_round_trip_per_claim() -> None:
    near, far = simulate(Plan(10, round_trip=0.0005)), simulate(Plan(10, round_trip=0.1))
    assert 0.03 < near.efficiency - far.efficiency < 0.2


# --- the sizes of claims ---


def test_claims_grow_with_the_round() -> None:
    size = ClaimSize(SPEED)
    size.begin()
    claims = []
    for _ in range(7):
        claims.append(size.proofs / SPEED)
        size.learn(size.proofs, size.proofs / SPEED, 10**12)
    assert claims[0] < 0.01
    assert claims[1] == pytest.approx(SLICE_SECONDS)
    assert claims == sorted(claims)
    assert claims[-1] == pytest.approx(LONGEST_SECONDS)
    size.begin()
    assert size.proofs / SPEED == pytest.approx(SLICE_SECONDS)


def test_an_easy_round_has_small_claims() -> None:
    size = ClaimSize(SPEED)
    size.learn(65_536, 0.0007, 65_536)
    assert 65_536 < size.proofs <= 0.005 * SPEED
    size.learn(10**7, 0.1, 10**8)
    assert size.proofs == pytest.approx(10**8 / 4, rel=0.01)


def test_a_slower_machine_takes_less() -> None:
    size = ClaimSize(SPEED)
    for _ in range(30):
        size.learn(10**6, 1.0, 10**12)
    assert size.slice == pytest.approx(10**6 * SLICE_SECONDS, rel=0.01)
    assert size.proofs <= 10**6 * LONGEST_SECONDS * 1.01
