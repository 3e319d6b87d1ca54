"""Writing files: whole or not at all; failures show before anything else is done; only regular files are replaced."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.system.files import disk_room, writing
from services.system.programs import module_path


def write(path: Path, text: bytes = b"new", **options: bool | int) -> None:
    with writing(path, **options) as output:  # type: ignore[arg-type] # new and room
        output.write(text)


def test_the_name_is_taken_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with writing(path, room=100_000) as output:
        output.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    write(path, b"newer")
    assert path.read_bytes() == b"newer"


@pytest.mark.parametrize("old", [None, b"old"])
def test_after_an_error_nothing_has_changed(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "a"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(KeyboardInterrupt), writing(path) as output:
        output.write(b"half")
        raise KeyboardInterrupt
    assert [item.read_bytes() for item in tmp_path.iterdir()] == ([] if old is None else [old])


def killed_while_writing(path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from services.system.files import writing\n"
        "with writing(pathlib.Path(sys.argv[1])) as output:\n"
        "    output.write(bytes(100_000))\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], env=os.environ | module_path(os.environ))
    assert done.returncode == -9


def test_what_a_killed_process_has_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "a[1]"
    others = {".a[1].x.part", ".a1.0.part", ".a[1].0.part.old"}
    for name in others:
        (tmp_path / name).write_text("somebody's")
    (tmp_path / ".a[1].7.part").mkdir()
    for _ in range(2):
        killed_while_writing(path)
    assert (tmp_path / ".a[1].0.part").exists()
    (tmp_path / ".a[1].4711.part").write_text("of a release that named it by the process")
    write(path)
    assert path.read_bytes() == b"new"
    assert {item.name for item in tmp_path.iterdir()} == {"a[1]", ".a[1].7.part", *others}


def test_two_at_once_do_not_meet_and_the_last_counts(tmp_path: Path) -> None:
    """Also where both have the same process id, as the programs of two containers may."""
    path = tmp_path / "a"
    with writing(path) as first:
        first.write(b"first")
        with writing(path) as second:
            second.write(b"second, and longer")
            write(path, b"third")
            assert path.read_bytes() == b"third"
        assert path.read_bytes() == b"second, and longer"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_taken_for_left_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, calls = tmp_path / "a", fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        calls.append(operation)
        if len(calls) == 1:
            (tmp_path / ".a.0.part").unlink()
        real(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", flock)
    write(path)
    assert path.read_bytes() == b"new" and len(calls) == 2


def test_without_locks_nothing_of_others_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", flock)
    (tmp_path / ".a.0.part").write_text("perhaps being written")
    write(tmp_path / "a")
    assert {item.name for item in tmp_path.iterdir()} == {"a", ".a.0.part"}


def test_whatever_is_in_the_way_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "directory").mkdir()
    for name, options, error in (
        ("missing/a", {}, FileNotFoundError),
        ("there/a", {}, NotADirectoryError),
        ("directory", {}, IsADirectoryError),
        ("there", {"new": True}, FileExistsError),
        ("dangling", {"new": True}, FileExistsError),
        ("directory", {"new": True}, FileExistsError),
    ):
        with pytest.raises(error) as caught, writing(tmp_path / name, **options):
            pytest.fail("it went on")
        assert caught.value.filename == str(tmp_path / name)


def test_a_full_disk_is_found_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"), writing(tmp_path / "a", room=1):
        pytest.fail("it went on")
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(tmp_path / "pipe")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    write(Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_comes_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    if not has_links:

        def no_links(*_: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
    write(tmp_path / "first", new=True)
    with pytest.raises(FileExistsError), writing(tmp_path / "a", new=True) as output:
        output.write(b"ours")
        (tmp_path / "a").write_text("theirs")
    assert (tmp_path / "a").read_text() == "theirs"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "first"]


def test_a_write_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError), writing(tmp_path / "a"):
        pytest.fail("it went on")


def test_the_room_of_a_disk_is_known_before_the_directory_is_made(tmp_path: Path) -> None:
    free, total = disk_room(tmp_path / "not" / "made" / "yet")
    assert 0 < free <= total == shutil.disk_usage(tmp_path).total
    (tmp_path / "file").touch()
    assert disk_room(tmp_path / "file" / "below")[1] == total
    assert disk_room(Path("nowhere"))[1] == shutil.disk_usage(Path.cwd()).total
