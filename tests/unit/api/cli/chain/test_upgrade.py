"""`quarry upgrade`: files of upgrades, from the first draft to the majority's signatures."""

import json
from pathlib import Path

import pytest

from services.settings.table import load
from tests.support.cli import run
from tests.support.keys import BOB
from tests.support.specs import make_spec, write_spec

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def sealers() -> list[str]:
    return [json.loads(run("wallet", "new", name, "--json").stdout)["address"] for name in ("ann", "ben", "cleo")]


@pytest.fixture
def spec(tmp_path: Path, sealers: list[str]) -> Path:
    return write_spec(tmp_path / "team.toml", make_spec(sealers=sealers))


def test_from_the_draft_to_the_node(spec: Path, tmp_path: Path, sealers: list[str]) -> None:
    file, of_spec = tmp_path / "upgrades.json", ("--spec", spec)
    changes = json.dumps({"difficulty": 131072, "sealers": [BOB.address]})
    drafted = run("upgrade", "new", file, *of_spec, "--height", "5000", "--changes", changes)
    assert drafted.stdout.splitlines()[:4] == [
        "From height 5,000:",
        "  difficulty              131,072",
        f"  sealers                 {BOB.address}",
        "  signed by 0 of 3; 2 are needed",
    ]
    for count, name in enumerate(("ann", "cleo")):
        refused = run("upgrade", "check", file, *of_spec)
        assert refused.exit_code == 1
        assert f"height 5000 is signed by {count} of 3 sealers; it needs 2" in " ".join(refused.stderr.split())
        assert run("upgrade", "sign", file, *of_spec, "--from", name).exit_code == 0
    again = run("upgrade", "sign", file, *of_spec, "--from", "ann")
    assert again.exit_code == 1 and "has signed all that it may" in " ".join(again.stderr.split())
    checked = json.loads(run("upgrade", "check", file, *of_spec, "--json").stdout)
    settings = load({"QUARRY_SPEC": str(spec), "QUARRY_UPGRADES_FILE": str(file)})
    assert settings.spec.upgrades_digest == checked["digest"]
    assert settings.spec.at(5000).sealers == (BOB.address,)


def test_a_second_upgrade_is_added_and_an_earlier_height_is_refused(spec: Path, tmp_path: Path) -> None:
    file, of_spec = tmp_path / "upgrades.json", ("--spec", spec)
    for height in ("10", "20"):
        added = run("upgrade", "new", file, *of_spec, "--height", height, "--changes", '{"difficulty": 5}')
        assert added.exit_code == 0
    before = file.read_bytes()
    for height, changes, why in (
        ("20", '{"difficulty": 6}', "a whole number above 20"),
        ("30", '{"reward": "6"}', "one or more of difficulty"),
        ("30", "{", "--changes is not strict JSON"),
    ):
        refused = run("upgrade", "new", file, *of_spec, "--height", height, "--changes", changes)
        assert refused.exit_code == 1 and why in " ".join(refused.stderr.split())
        assert file.read_bytes() == before
    assert run("upgrade", "show", file, *of_spec).stdout.count("From height") == 2


def test_other_files_and_other_wallets(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no JSON")
    assert run("upgrade", "show", tmp_path / "text", "--spec", spec).exit_code == 1
    assert run("upgrade", "show", tmp_path / "none", "--spec", spec).exit_code == 1
    file = tmp_path / "upgrades.json"
    run("upgrade", "new", file, "--spec", spec, "--height", "9", "--changes", '{"sealers": []}')
    other = run("upgrade", "show", file, "--spec", "network")
    assert "for another chain spec" in " ".join(other.stderr.split())
    run("wallet", "new", "dora")
    assert "is no sealer before" in " ".join(
        run("upgrade", "sign", file, "--spec", spec, "--from", "dora").stderr.split()
    )
