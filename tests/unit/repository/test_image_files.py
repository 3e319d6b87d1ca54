"""What is said of the images beside the Dockerfile: where their base comes from, and what they contain."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import jsonschema_rs
import pytest

from deploy.move_base import CannotMove, move
from services.system.programs import ROOT

NEW = "sha256:" + "5" * 64
DOCKER = """#!/bin/sh
echo "$*" >> "{log}"
case "$1" in
  pull) {pull} ;;
  image) echo "other@sha256:{other}"; {digests} ;;
esac
"""


def fake_docker(directory: Path, pull: str = "exit 0", digests: str = f"echo python@{NEW}") -> str:
    program = directory / "docker"
    program.write_text(DOCKER.format(log=directory / "log", other="6" * 64, pull=pull, digests=digests))
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "Dockerfile", tmp_path))


def test_the_base_is_moved_to_the_digest_of_today(dockerfile: Path, tmp_path: Path) -> None:
    docker, before = fake_docker(tmp_path), dockerfile.read_text()
    assert NEW in move(dockerfile, "", docker)
    assert f"\nARG BASE=python:3.12-slim@{NEW}\n" in dockerfile.read_text()
    assert re.sub(r"sha256:\w+", "", dockerfile.read_text()) == re.sub(r"sha256:\w+", "", before)
    assert move(dockerfile, "", docker) == f"python:3.12-slim is still {NEW}."
    move(dockerfile, "python:3.13-slim", docker)
    assert f"\nARG BASE=python:3.13-slim@{NEW}\n" in dockerfile.read_text()
    assert "pull --quiet python:3.13-slim" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("tag", "pull", "digests", "said"),
    [
        ("", "echo cannot be reached >&2; exit 1", "", "pull failed: cannot be reached"),
        ("", "exit 0", "true", "knows no digest of python:3.12-slim"),
        ("", "exit 0", "echo python@sha256:55", "knows no digest"),
        ("python", "exit 0", "true", "must be IMAGE:TAG"),
        ("--all:x y", "exit 0", "true", "must be IMAGE:TAG"),
    ],
)
def test_what_has_no_digest_changes_nothing(
    dockerfile: Path, tmp_path: Path, tag: str, pull: str, digests: str, said: str
) -> None:
    before = dockerfile.read_text()
    with pytest.raises(CannotMove, match=said):
        move(dockerfile, tag, fake_docker(tmp_path, pull, digests))
    assert dockerfile.read_text() == before


def test_without_docker_or_the_line_one_sentence_says_so(dockerfile: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotMove, match="cannot be run: No such file"):
        move(dockerfile, "", str(tmp_path / "no-docker"))
    dockerfile.write_text("FROM python\n")
    with pytest.raises(CannotMove, match="must have one line ARG BASE="):
        move(dockerfile, "", fake_docker(tmp_path))


def bills_of_materials(version: str) -> jsonschema_rs.Draft7Validator:
    """The schema that CycloneDX's own validator has, which takes 3 s to load and to read some URLs."""
    found = find_spec("cyclonedx.schema")
    assert found is not None and found.submodule_search_locations is not None
    place = Path(found.submodule_search_locations[0]) / "_res"

    def schema(name: str) -> object:
        return json.loads((place / f"{name}.SNAPSHOT.schema.json").read_text("utf-8"))

    used = [
        (f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", schema(name))
        for name in ("spdx", "cryptography-defs", "jsf-0.82")
    ]
    return jsonschema_rs.Draft7Validator(
        schema(f"bom-{version}"),
        registry=jsonschema_rs.Registry(used, draft=jsonschema_rs.Draft7),
        validate_formats=True,
        offline=True,
    )


@pytest.mark.parametrize("locks", [["requirements.lock"], ["requirements.lock", "deploy/fast.lock"]])
def test_the_bill_of_materials_is_valid_and_has_every_package_of_the_locks(locks: list[str]) -> None:
    """As `make sbom` makes it, without its own validation."""
    text = "".join((ROOT / lock).read_text() for lock in locks)
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--pyproject", str(ROOT / "pyproject.toml")]
    made = subprocess.run(
        [*command, "--output-reproducible", "--no-validate", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    bill = json.loads(made.stdout)
    allowed = bills_of_materials(bill["specVersion"])
    allowed.validate(bill)
    first, *others = bill["components"]
    for wrong in ({"colour": "red"}, {"externalReferences": [{"type": "website", "url": "http://a b"}]}):
        assert not allowed.is_valid({**bill, "components": [first | wrong, *others]})
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", text, re.MULTILINE))
    assert {part["name"]: part["version"] for part in bill["components"]} == pinned and len(pinned) > 40
    assert bill["metadata"]["component"]["name"] == "quarry-ledger"
    hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", text)
    assert len(hashes) > 100 and all(one in made.stdout for one in hashes)


def test_the_makefile_makes_both_bills() -> None:
    text = (ROOT / "Makefile").read_text()
    assert "-o dist/quarry-node.cdx.json requirements.lock\n" in text
    assert "cat requirements.lock deploy/fast.lock | $(BIN)/cyclonedx-py" in text
