"""Reading a log that another process writes."""

from pathlib import Path

from api.cli.node.log_tail import LogTail
from services.launch.log_files import set_aside, trim


def add(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def test_only_new_and_whole_lines_are_read(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    add(log, "before\n")
    tail = LogTail(log)
    assert tail.lines() == []
    add(log, "one\ntw")
    assert tail.lines() == ["one"]
    add(log, "o\nthree\n")
    assert tail.lines() == ["two", "three"]
    assert tail.lines() == []


def test_a_log_that_is_made_later_replaced_or_cut_is_read_on(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    tail = LogTail(log)
    assert tail.lines() == []
    add(log, "first of this run, of some length\n")
    assert tail.lines() == ["first of this run, of some length"]
    set_aside(log)
    assert tail.lines() == []
    add(log, "next\n")
    assert tail.lines() == ["next"]
    assert trim(log, most=1)
    assert tail.lines() == []
    add(log, "last\n")
    assert tail.lines() == ["last"]


def test_of_a_flood_only_the_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    tail = LogTail(log)
    add(log, "".join(f"line {number:07}\n" for number in range(100_000)))
    found = tail.lines()
    assert found[-1] == "line 0099999"
    assert len(found) < 25_000
    assert tail.lines() == []


def test_it_may_begin_some_way_back_at_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    add(log, "one\ntwo\nthree\n")
    assert LogTail(log, 100).lines() == ["one", "two", "three"]
    assert LogTail(log, 8).lines() == ["three"]  # it begins inside of "two"
    tail = LogTail(log, 8)
    tail.lines()
    add(log, "four\n")
    assert tail.lines() == ["four"]


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    tail = LogTail(log)
    log.write_bytes(b"\xff\xfe\x00\x1b\n")
    assert len(tail.lines()) == 1
