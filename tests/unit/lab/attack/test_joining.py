"""A lab that runs already is found by its file, and attacks when it is asked to."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.attack.joining import Attacks, join, noted, running_lab
from lab.interface import LabError
from lab.runner import SPEC
from lab.simulated.tree.lab import TreeLab
from services.settings.table import load_spec
from services.system.processes import started_at
from tests.support.lab_page import ASKED, page
from tests.support.raw_server import RawServer, response


def test_a_lab_is_found_while_it_runs(tmp_path: Path) -> None:
    assert running_lab(tmp_path) is None
    with noted(tmp_path, "http://127.0.0.1:1/", {}):
        assert running_lab(tmp_path) == "http://127.0.0.1:1/"
    assert running_lab(tmp_path) is None and not list(tmp_path.iterdir())
    with noted(tmp_path, "http://127.0.0.1:1/", {}):
        with noted(tmp_path, "http://127.0.0.1:2/", {}):
            assert running_lab(tmp_path) == "http://127.0.0.1:2/", "the one that was started last"
        with noted(tmp_path, "http://127.0.0.1:3/", {}):
            pass
    with noted(tmp_path, "http://127.0.0.1:1/", {}):
        (tmp_path / "up.json").write_text(json.dumps({"url": "x", "pid": os.getpid(), "started": "0"}))
    assert list(tmp_path.iterdir()), "it is another lab's"
    with noted(tmp_path / "nowhere", "http://127.0.0.1:1/", {}):
        pass  # it works without, and nobody finds it


def test_on_a_full_disk_a_lab_is_not_found_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError("full")

    monkeypatch.setattr(os, "fsync", refuse)
    with noted(tmp_path, "http://127.0.0.1:1/", {}):
        assert running_lab(tmp_path) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"url": "x"}', '{"url": "x", "pid": "y", "started": 1}', '{"url": "x", "pid": 1, "started": null}',
     '{"url": "x", "pid": 4194999, "started": 5}', "\xff"],
)  # fmt: skip
def test_a_file_that_a_killed_lab_left_is_no_lab(tmp_path: Path, text: str) -> None:
    (tmp_path / "up.json").write_text(text, "latin-1")
    assert running_lab(tmp_path) is None
    left = {
        "url": "x",
        "pid": os.getpid(),
        "started": f"{started_at(os.getpid())}0",
    }  # the number is another's now
    (tmp_path / "up.json").write_text(json.dumps(left))
    assert running_lab(tmp_path) is None


def test_a_running_lab_attacks_and_answers_with_its_verdicts() -> None:
    seen: list[Mapping[str, Any]] = []

    def attack(values: Mapping[str, Any]) -> dict[str, Any]:
        seen.append(values)
        verdict = {"claim": "x", "held": False, "value": 2.0, "low": None, "high": None, "expected": None}
        return {"scenario": "s", "world": "real", "seeds": [5], "verdicts": [verdict], "recording": "r.jsonl"}

    with page(attack) as url:
        result = join(url, ASKED)
    assert seen == [ASKED.to_object()]
    assert (result.scenario, result.seeds, result.recording, result.held) == (
        "attack double-spend",
        [5],
        "r.jsonl",
        False,
    )
    assert result.verdicts[0].value == 2.0


def test_what_a_lab_refuses_is_one_sentence(tmp_path: Path) -> None:
    simulated = Attacks(TreeLab(2, load_spec(SPEC), 1), tmp_path / "r.jsonl").attack
    with page(simulated) as url, pytest.raises(LabError, match="cannot watch a simulated node"):
        join(url, ASKED)
    with page(None) as url, pytest.raises(LabError, match="does no attacks"):
        join(url, ASKED)
    with pytest.raises(LabError, match="ended before the attack did"):
        join(url, ASKED)
    for answer in (b"", b"[]", b'{"verdicts": [5]}', b'{"verdicts": [], "seeds": 3}'):
        with RawServer(lambda peer, answer=answer: peer.send(response(answer))) as server:  # type: ignore[misc]
            with pytest.raises(LabError, match="ended before"):
                join(f"http://127.0.0.1:{server.port}/", ASKED)


class Real(TreeLab):
    """A lab that says that it is real."""

    world = "real"  # type: ignore[assignment]


def test_one_attack_at_a_time_and_an_application_that_is_away(tmp_path: Path) -> None:
    lab = Real(2, load_spec(SPEC), 1)
    attacks = Attacks(lab, tmp_path / "r.jsonl")
    found = attacks.attack(ASKED.to_object())
    assert [each["held"] for each in found["verdicts"]] == [False] and "does not answer" in found["verdicts"][0][
        "claim"
    ]
    assert found["recording"] == str(tmp_path / "r.jsonl")
    inside, go = threading.Event(), threading.Event()
    with RawServer(lambda peer: (inside.set(), go.wait(10), peer.send(response(b"{}")))) as server:  # type: ignore[arg-type]
        asked = {**ASKED.to_object(), "against": f"http://127.0.0.1:{server.port}"}
        first = threading.Thread(target=attacks.attack, args=(asked,))
        first.start()
        assert inside.wait(10)
        with pytest.raises(LabError, match="Another attack"):
            attacks.attack(asked)
        go.set()
        first.join()
    with pytest.raises(LabError, match="on this machine"):
        attacks.attack({**asked, "against": "http://10.0.0.1/"})
