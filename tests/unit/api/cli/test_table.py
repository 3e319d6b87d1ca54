"""Tables at every width: what is cut, what is left out, and what never is."""

import pytest

from api.cli.table import Column, beside, rest, table, that_fit

COLUMNS = (Column("NAME", least=4), Column("ADDRESS"), Column("COINS", right=True), Column("NOTE", extra=True))
ROWS = [["a-long-name", "0x12345678", "7", "something"], ["b", "0x87654321", "12345", ""]]


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            "200",
            [
                "NAME         ADDRESS     COINS  NOTE",
                "a-long-name  0x12345678      7  something",
                "b            0x87654321  12345",
            ],
        ),
        ("40", ["NAME         ADDRESS     COINS", "a-long-name  0x12345678      7"]),
        ("30", ["NAME         ADDRESS     COINS", "a-long-name  0x12345678      7"]),
        ("24", ["NAME   ADDRESS     COINS", "a-lo…  0x12345678      7"]),
        ("20", ["NAME  ADDRESS     COINS", "a-l…  0x12345678      7"]),  # no column is left that can give way
    ],
)
def test_a_table_has_the_width_that_there_is(columns: str, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert table(COLUMNS, ROWS)[: len(lines)] == lines


def test_a_table_for_a_program_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert table(COLUMNS, [["x" * 300, "0x", "1", "y" * 300]])[1].endswith("y" * 300)


def test_text_from_outside_does_not_act_and_is_counted_as_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = table((Column("A"), Column("B")), [["\x1b[2J", "x"], ["長い", "y"]])
    assert lines == ["A        B", "\\x1b[2J  x", "長い     y"]


def test_a_table_without_rows_has_its_titles() -> None:
    assert table(COLUMNS, []) == ["NAME  ADDRESS  COINS  NOTE"]


@pytest.mark.parametrize(
    ("number", "columns", "everything", "shown"),
    [
        (22, 80, False, 22),
        (23, 80, False, 21),
        (1000, 80, False, 21),
        (1000, 80, True, 1000),
        (1000, None, False, 1000),
    ],
)
def test_a_list_ends_with_the_terminal(
    number: int, columns: int | None, everything: bool, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setattr("api.cli.terminal.width", lambda: columns)
    assert that_fit(number, everything) == shown
    assert rest(shown, number) == ([] if shown == number else [f"The first {shown} of {number:,}; --all shows all."])
    assert 1 + shown + len(rest(shown, number)) < 24 or everything or columns is None


@pytest.mark.parametrize("height", ["0", "1", "-3", "x", "9"])
def test_a_low_terminal_gets_some_rows_all_the_same(height: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", height)
    monkeypatch.setenv("COLUMNS", "80")
    assert 1 <= that_fit(1000, False, besides=9) < 24


def test_blocks_of_lines_stand_side_by_side() -> None:
    assert beside(["a", "long one"], ["x", "y", "z"]) == ["a          x", "long one   y", "           z"]
    assert beside([], ["x"]) == ["   x"] and beside(["a"], []) == ["a"]
    assert "\x1b" not in beside(["\x1b[2J"], ["x"])[0]
