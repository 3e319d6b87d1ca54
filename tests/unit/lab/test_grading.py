"""Strategies in files are graded against honest miners; those that fail are named and do not hang the grading."""

from pathlib import Path

import pytest

import lab.guard
from lab.grading import grade_strategy
from lab.interface import LabError

STRATEGY = """
from lab.strategy import WAIT, Action, publish_all


class Own:
    name = "own"

    def on_found(self, view):
        {found}

    def on_heard(self, view):
        return Action(give_up=True) if view.private else WAIT
"""


def write(path: Path, found: str) -> Path:
    path.write_text(STRATEGY.format(found=found))
    return path


def test_an_honest_strategy_earns_its_share(tmp_path: Path) -> None:
    result = grade_strategy(write(tmp_path / "own.py", "return publish_all(view)"), (0.3,), range(1, 7), 300)
    (verdict,) = result.verdicts
    assert verdict.held and verdict.expected == 0.3 and verdict.value is not None and 0.25 < verdict.value < 0.35
    assert verdict.low is not None and verdict.high is not None and verdict.low < 0.3 < verdict.high


def test_a_strategy_that_throws_its_blocks_away_does_not(tmp_path: Path) -> None:
    result = grade_strategy(write(tmp_path / "own.py", "return Action(give_up=True)"), (0.3,), range(1, 5), 200)
    assert not result.held and result.verdicts[0].value == 0.0


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("raise RuntimeError('no')", "RuntimeError"),
        ("return 'publish'", "not with Action"),
        ("return Action(publish=7)", "another number of blocks"),
        ("while True: pass", "did not answer"),
    ],
)
def test_a_strategy_that_fails_is_named(tmp_path: Path, found: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.guard, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # in this process, in which a second is a tenth
    (verdict,) = grade_strategy(write(tmp_path / "own.py", found), (0.3,), range(1, 3), 100).verdicts
    assert not verdict.held and said in verdict.claim and verdict.claim.startswith("own.py answers at every block (")


def test_a_file_without_a_strategy_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("x = 1\n")
    with pytest.raises(LabError, match="must have one class"):
        grade_strategy(tmp_path / "own.py", (0.3,), range(1, 3), 100)
