"""A directory is restored as a whole or not at all."""

import fcntl
import os
from pathlib import Path

import pytest

from services.backup import place
from services.backup.place import PlaceTaken, building, require_empty


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


@pytest.mark.parametrize("there", [False, True])
def test_it_takes_its_name_when_it_is_complete(tmp_path: Path, there: bool) -> None:
    target = tmp_path / "new"
    if there:
        target.mkdir()
    with building(target, "dev") as made:
        (made / "dev" / "node1").mkdir(parents=True)
        (made / "dev" / "node1" / "private.key").write_text("key")
        assert made.stat().st_mode & 0o777 == 0o700
        assert not there or names(target) == []
        assert target.exists() == there
    assert (target / "dev" / "node1" / "private.key").read_text() == "key"
    assert names(tmp_path) == ["new"]


def test_a_volume_gets_the_entries_one_by_one_and_the_node_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "volume"
    (target / "lost+found").mkdir(parents=True)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == target)
    moved: list[str] = []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, other: (moved.append(self.name), rename(self, other))[1])
    with building(target, "node1") as made:
        assert made.parent == target
        for name in ("alice", "node1", "zoe"):
            (made / name).mkdir()
    assert moved == ["alice", "zoe", "node1"]
    assert names(target) == ["alice", "lost+found", "node1", "zoe"]


def test_the_directory_may_be_named_by_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    with building(Path("."), "dev") as made:
        (made / "dev").mkdir()
    assert names(tmp_path) == ["new"]
    assert names(tmp_path / "new") == ["dev"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), building(tmp_path / "new", "dev") as made:
        (made / "dev").mkdir()
        raise ValueError("stop")
    assert names(tmp_path) == []


def test_a_directory_with_anything_in_it_is_refused_before_and_after(tmp_path: Path) -> None:
    target = tmp_path / "old"
    (target / "dev").mkdir(parents=True)
    with pytest.raises(PlaceTaken, match="holds dev already"), building(target, "dev"):
        raise AssertionError("unreachable")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlaceTaken, match="is not a directory"):
        require_empty(tmp_path / "file")
    with pytest.raises(PlaceTaken, match="holds late already"), building(tmp_path / "new", "dev") as made:
        (made / "dev").mkdir()
        (tmp_path / "new" / "late").mkdir(parents=True)
    assert names(tmp_path) == ["file", "new", "old"]
    assert names(tmp_path / "new") == ["late"]


def test_what_a_killed_restore_has_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".new.restoring" / "dev" / "node1" / "valkey").mkdir(parents=True, mode=0o700)
    (tmp_path / ".new.restoring").chmod(0o700)
    (tmp_path / ".new.restoring" / "half").write_text("x")
    with building(tmp_path / "new", "dev") as made:
        assert names(made) == []
        (made / "dev").mkdir()
    assert names(tmp_path) == ["new"]
    assert names(tmp_path / "new") == ["dev"]


def test_two_restores_to_one_directory_do_not_meet(tmp_path: Path) -> None:
    with building(tmp_path / "new", "dev") as made:
        (made / "dev").mkdir()
        with pytest.raises(PlaceTaken, match="Another restore works"), building(tmp_path / "new", "dev"):
            raise AssertionError("unreachable")
        assert names(made) == ["dev"]
    assert names(tmp_path / "new") == ["dev"]


def test_a_place_that_others_prepared_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".new.restoring").mkdir()
    (tmp_path / ".new.restoring").chmod(0o777)
    (tmp_path / ".new.restoring" / "bait").write_text("x")
    with pytest.raises(PlaceTaken, match="belongs to somebody else"), building(tmp_path / "new", "dev"):
        raise AssertionError("unreachable")
    assert (tmp_path / ".new.restoring" / "bait").exists()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    with building(tmp_path / "new", "dev") as made:
        (made / "dev").mkdir()
    descriptor = os.open(tmp_path / "new", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
    assert place._INSIDE.startswith(".")
