"""How scenarios and verdicts are shown, at every width."""

from __future__ import annotations

import pytest

from lab.loading import built_in, load_scenario
from lab.showing import figures, listed
from lab.verdicts import Verdict


@pytest.mark.parametrize("columns", ["40", "80", "200", None])
def test_a_list_says_what_each_scenario_takes(columns: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    lines = list(listed([load_scenario(name) for name in built_in()]))
    assert any("share=0.6 depth=6" in line for line in lines)
    assert len(lines) == (10 if columns in ("200", None) else 19), "it fits a terminal of 24 rows"


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict("a", True), "a"),
        (Verdict("a", True, 0.25), "a: 0.25"),
        (Verdict("a", True, 0.25, 0.2, 0.3), "a: 0.25 (95 %: 0.2 to 0.3)"),
        (Verdict("a", True, 0.25, None, None, 0.5), "a: 0.25, expected 0.5"),
    ],
)
def test_a_verdict_is_a_claim_and_its_figures(verdict: Verdict, text: str) -> None:
    assert figures(verdict) == text
