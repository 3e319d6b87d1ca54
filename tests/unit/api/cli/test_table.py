"""Tables at every width: what is cut, what is left out, and what never is."""

import pytest

from api.cli.table import Column, table

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
