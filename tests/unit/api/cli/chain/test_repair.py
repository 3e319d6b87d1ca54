"""By which upgrades `quarry repair` and `quarry chain verify` judge blocks."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli.chain import chain as chain_commands
from api.cli.chain import repair
from api.cli.group import Failure
from services import registry
from shared.chain_spec import ChainSpec, spec_from_object
from shared.upgrades import read_upgrades, signed, to_object
from tests.support.keys import ALICE

OBJECT = {
    "name": "team",
    "chain_id": 5150,
    "genesis_timestamp": 1767225600,
    "difficulty": 2,
    "sealers": [ALICE.address],
}
SPEC = spec_from_object(OBJECT)


def upgraded(height: int) -> ChainSpec:
    file = {"spec": SPEC.hash, "upgrades": [{"height": height, "changes": {"difficulty": 4}}]}
    return signed(read_upgrades(file, SPEC, agreed=False), ALICE)[0]


@pytest.fixture
def team(tmp_path: Path) -> str:
    lines = (f"{name} = {json.dumps(value)}\n" for name, value in OBJECT.items())
    (tmp_path / "team.toml").write_text("".join(lines))
    return str(tmp_path / "team.toml")


def test_a_spec_that_is_given_has_the_upgrades_of_the_node(team: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUARRY_UPGRADES_FILE", raising=False)
    monkeypatch.setattr(registry, "spec_of", lambda *_: upgraded(5))
    assert repair._spec(None, "node1", team).upgrades_digest == upgraded(5).upgrades_digest


def test_a_stopped_node_has_those_of_the_file_in_the_settings(
    team: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "upgrades.json").write_text(json.dumps(to_object(upgraded(7))))
    monkeypatch.setenv("QUARRY_UPGRADES_FILE", str(tmp_path / "upgrades.json"))
    monkeypatch.setattr(registry, "spec_of", lambda *_: None)
    assert repair._spec(None, "node1", team).upgrades_digest == upgraded(7).upgrades_digest
    assert repair._spec(None, "node1", team).hash == SPEC.hash


@pytest.mark.parametrize("is_set", [True, False])
def test_verify_takes_the_upgrades_of_a_given_spec_from_the_settings_and_nothing_from_the_node(
    is_set: bool, team: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QUARRY_UPGRADES_FILE", raising=False)
    if is_set:
        (tmp_path / "upgrades.json").write_text(json.dumps(to_object(upgraded(7))))
        monkeypatch.setenv("QUARRY_UPGRADES_FILE", str(tmp_path / "upgrades.json"))
    judged_by: list[ChainSpec] = []

    def verify_chain(client: object, spec: ChainSpec, advance: object) -> None:
        judged_by.append(spec)
        raise Failure("That is enough.")

    monkeypatch.setattr(chain_commands, "verify_chain", verify_chain)
    CliRunner().invoke(chain_commands.verify, ["--spec", team, "--url", "http://127.0.0.1:9"])
    [spec] = judged_by
    assert spec.hash == SPEC.hash
    assert spec.upgrades_digest == (upgraded(7).upgrades_digest if is_set else None)
