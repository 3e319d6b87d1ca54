"""Directories that are removed with their owner, or by the next one."""

import fcntl
import os
from pathlib import Path

import pytest

from services.launch.ephemeral import ephemeral_directory, remove_abandoned
from services.launch.node_files import NodeFilesError


def abandoned(home: Path, name: str) -> Path:
    directory = home / name
    (directory / "node1" / "logs").mkdir(parents=True)
    (directory / "owner.lock").touch()
    return directory


def test_it_lives_as_long_as_its_block(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ephemeral_directory(home) as first, ephemeral_directory(home) as second:
        assert first != second
        assert first.parent == second.parent == home
        assert first.stat().st_mode & 0o777 == 0o700
        (first / "node1").mkdir()
        (first / "node1" / "node.json").touch()
        assert [path.parent.parent for path in home.glob("*/*/node.json")] == [first]
    assert list(home.iterdir()) == []


def test_it_is_removed_after_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ephemeral_directory(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_living_owner_is_removed(tmp_path: Path) -> None:
    abandoned(tmp_path, "ephemeral-dead")
    living = abandoned(tmp_path, "ephemeral-living")
    other = abandoned(tmp_path, "local")
    target = abandoned(tmp_path, "target")
    (tmp_path / "ephemeral-link").symlink_to(target)
    (tmp_path / "ephemeral-file").touch()
    lock = os.open(living / "owner.lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with ephemeral_directory(tmp_path) as new:
            assert {path.name for path in tmp_path.iterdir()} == {
                living.name, other.name, target.name, new.name, "ephemeral-link", "ephemeral-file"
            }  # fmt: skip
    finally:
        os.close(lock)
    assert (living / "node1" / "logs").is_dir()
    assert (target / "node1" / "logs").is_dir()


def test_one_whose_own_removal_was_cut_short_is_removed_as_well(tmp_path: Path) -> None:
    (tmp_path / "ephemeral-half" / "node1").mkdir(parents=True)
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NodeFilesError, match="file"), ephemeral_directory(tmp_path / "file"):
        pass
