"""One minute of the soak, and tests that its judgement can fail."""

import os
from pathlib import Path

import pytest

from tests.soak import __main__ as program
from tests.soak.cluster import Member
from tests.soak.measure import Probe, Sample, growth
from tests.soak.verdict import Verdict, judge_probes, tracebacks
from tests.support.processes import linux_only

WORKER = Member(1, 1, 0, "mining", "node1")


@linux_only
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_minute_of_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = "kill valkey,kill api-worker,lying peer,stop valkey,kill up"
    if os.geteuid() == 0:  # only root can mount the small disk
        faults = f"full disk,{faults}"
    arguments = ["--seconds", "90", "--every", "15", "--seed", "7", "--faults", faults, "--keep", str(tmp_path)]
    code = program.main(arguments)
    assert code == 0, capsys.readouterr().out


def test_growth_is_seen_within_a_life_and_not_between_lives() -> None:
    steady = [Sample(at, WORKER, 30.0, 5, 2) for at in range(0, 1000, 5)]
    later = [Sample(at, Member(2, 2, 0, "mining", "node1"), 50.0, 5, 2) for at in range(1000, 2000, 5)]
    found = growth([*steady, *later], 2000)["mining"]
    assert (found.lives, found.most_mb, found.mb_per_hour) == (2, 50.0, 0.0)
    assert growth(steady[:100], 500)["mining"].judged is False
    assert found.judged
    leaking = growth([Sample(at, WORKER, 30 + at / 360, 5, 2) for at in range(0, 1000, 5)], 1000)["mining"]
    assert leaking.mb_per_hour == pytest.approx(10.0)


def test_slow_answers_count_only_while_nothing_is_wrong() -> None:
    probes = [Probe(float(at), "node1", 5.0 if at >= 50 else 0.01, True) for at in range(100)]
    for span, findings in (((0.0, 49.0), 0), ((0.0, 99.0), 1)):
        verdict = Verdict()
        judge_probes(probes, [span], verdict)
        assert len(verdict.findings) == findings


def test_a_traceback_is_a_finding_unless_it_says_that_the_store_was_away(tmp_path: Path) -> None:
    logs = tmp_path / "home" / "soak" / "node1" / "logs"
    logs.mkdir(parents=True)
    head = "Traceback (most recent call last):\n  File …\n"
    (logs / "api.log").write_text(head + "redis.exceptions.ConnectionError: Connection closed by server.\n")
    verdict = Verdict()
    tracebacks(tmp_path, verdict)
    assert verdict.findings == []
    (logs / "mining1.log").write_text(head + "KeyError: 'state'\n")
    tracebacks(tmp_path, verdict)
    assert verdict.findings == ["1 traceback(s) in mining1.log: KeyError: 'state'"]


def test_a_traceback_that_a_log_indents_ends_where_it_ends(tmp_path: Path) -> None:
    """The line after it belongs to another entry."""
    logs = tmp_path / "home" / "soak" / "node1" / "logs"
    logs.mkdir(parents=True)
    head = (
        "2026-11-25T22:00:00Z [error    ] bug\n    Traceback (most recent call last):\n      File …\n        call()\n"
    )
    other = "2026-11-25T22:00:01Z [info     ] reorganised attached=3\n"
    (logs / "network.log").write_text(head + "    redis.exceptions.TimeoutError: Timeout reading.\n" + other)
    (logs / "ticker.log").write_text(head + "    KeyError: 'state'\n" + other)
    verdict = Verdict()
    tracebacks(tmp_path, verdict)
    assert verdict.findings == ["1 traceback(s) in ticker.log: KeyError: 'state'"]
