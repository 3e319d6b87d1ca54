"""Characters that act, hide or pass for others are named; all others are left alone."""

import sys

import pytest

from services.system.visible import escaped, is_hidden, is_plain, named


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain text", "plain text"),
        ("Grüße, 日本, 🐎, שלום", "Grüße, 日本, 🐎, שלום"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x00\x1b[31m\x7f\x9b", r"\x00\x1b[31m\x7f\x9b"),
        ("\u202a\u202e\u2066\u2069\u200e\u200f\u061c", r"\u202a\u202e\u2066\u2069\u200e\u200f\u061c"),
        ("\u200b\u200c\u2060\ufeff\u2028\u2029", r"\u200b\u200c\u2060\ufeff\u2028\u2029"),
        ("\ud800\udc00", r"\ud800\udc00"),  # as Python holds two lone surrogates
        ("\ue000\U0010ffff\U000e0041\u0378", r"\ue000\U0010ffff\U000e0041\u0378"),
        ("a\u00a0b\u3000c", r"a\xa0b\u3000c"),
        ("\ufe0f\u115f\u2800", r"\ufe0f\u115f\u2800"),
    ],
)
def test_what_hides_or_acts_is_named(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert is_plain(text) == (text == shown)
    assert is_plain(named(text))


def test_the_quick_look_and_the_slow_one_agree() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        assert is_plain(character) == (not is_hidden(character)), hex(code)


def test_a_long_value_is_cut_with_a_note() -> None:
    assert escaped("x" * 10_000, 10) == "xxxxxxxxxx … and 9,990 more characters"
    assert escaped("x" * 10, 10) == "xxxxxxxxxx"
