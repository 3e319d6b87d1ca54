"""Strict JSON: one text, one value, on every node."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.canonical import canonical
from shared.errors import InputError
from shared.wire import MAX_DEPTH, MAX_DIGITS, is_plain_text, parse, parse_member

REFUSED = {
    "empty": (b"", "malformed_json"),
    "blank": (b" \n", "malformed_json"),
    "cut": (b'{"a": [1, 2', "malformed_json"),
    "trailing text": (b"{} {}", "malformed_json"),
    "trailing comma": (b"[1,]", "malformed_json"),
    "single quotes": (b"{'a': 1}", "malformed_json"),
    "unquoted key": (b"{a: 1}", "malformed_json"),
    "comment": (b"[1 /* one */]", "malformed_json"),
    "byte order mark": (b"\xef\xbb\xbf{}", "malformed_json"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "malformed_json"),
    "UTF-16 without mark": ('{"a": 1}'.encode("utf-16-le"), "malformed_json"),
    "UTF-32": ('{"a": 1}'.encode("utf-32-be"), "malformed_json"),
    "Latin-1": ('{"a": "é"}'.encode("latin-1"), "malformed_json"),
    "cut UTF-8": (b'"\xe2\x98"', "malformed_json"),
    "overlong UTF-8": (b'"\xc0\x80"', "malformed_json"),
    "surrogate as UTF-8": (b'"\xed\xa0\x80"', "malformed_json"),
    "gzip": (b"\x1f\x8b\x08\x00", "malformed_json"),
    "NaN": (b"[NaN]", "malformed_json"),
    "Infinity": (b'{"a": Infinity}', "malformed_json"),
    "-Infinity": (b"-Infinity", "malformed_json"),
    "float": (b'{"amount": 1.5}', "float_refused"),
    "whole float": (b"[1.0]", "float_refused"),
    "exponent": (b"[1e5]", "float_refused"),
    "large exponent": (b"[1E400]", "float_refused"),
    "leading zero": (b"[01]", "malformed_json"),
    "plus": (b"[+1]", "malformed_json"),
    "hexadecimal": (b"[0x10]", "malformed_json"),
    "underscore": (b"[1_000]", "malformed_json"),
    "full-width digits": ("[\uff11\uff12]".encode(), "malformed_json"),
    "duplicate key": (b'{"a": 1, "a": 1}', "duplicate_key"),
    "duplicate key, escaped": (b'{"a": 1, "\\u0061": 2}', "duplicate_key"),
    "duplicate key, deep": (b'[{"x": {"a": 1, "b": 2, "a": 3}}]', "duplicate_key"),
    "too many digits": (b"[" + b"9" * (MAX_DIGITS + 1) + b"]", "number_too_long"),
    "a million digits": (b"1" * 10**6, "number_too_long"),
    "33 arrays": (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "too_deep"),
    "33 objects": (b'{"a": ' * MAX_DEPTH + b"{}" + b"}" * MAX_DEPTH, "too_deep"),
    "100,000 arrays": (b"[" * 10**5 + b"]" * 10**5, "too_deep"),
    "100,000 arrays, never closed": (b"[" * 10**5, "malformed_json"),
    "brackets in a cut text": (b'["' + b"[" * 100, "malformed_json"),
    "lone high surrogate": (b'"\\ud83d"', "bad_text"),
    "lone low surrogate": (b'"\\ude00"', "bad_text"),
    "surrogates swapped": (b'["\\ude00\\ud83d"]', "bad_text"),
    "surrogate in a key": (b'{"\\ud83d": 1}', "bad_text"),
    "NUL": (b'{"a": "\\u0000"}', "bad_text"),
    "NUL in a key": (b'{"a\\u0000": 1}', "bad_text"),
    "raw NUL": (b'"\x00"', "malformed_json"),
    "raw newline in text": (b'"a\nb"', "malformed_json"),
    "bad escape": (b'"\\x41"', "malformed_json"),
}

plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.integers() | plain | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(("text", "rule"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(text: bytes, rule: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert caught.value.code == rule


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b" {} ", {}),
        (b'{"a": [1, -2, true, null, "x"]}', {"a": [1, -2, True, None, "x"]}),
        (b'"\\ud83d\\ude00"', "😀"),
        ('"😀"'.encode(), "😀"),
        (b'{"a": {"b": 1}, "c": {"b": 2}}', {"a": {"b": 1}, "c": {"b": 2}}),
        (b"9" * MAX_DIGITS, 10**MAX_DIGITS - 1),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
        (b"[" + b"[]," * 100 + b"[]]", [[]] * 101),
        (b'"' + b"[" * 100 + b'"', "[" * 100),
        (
            rb'["\"' + b"[" * 100 + rb'\\", "\\\"' + b"{" * 100 + rb'\n"]',
            ['"' + "[" * 100 + "\\", '\\"' + "{" * 100 + "\n"],
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_accepted(text: bytes, value: Any) -> None:
    assert parse(text) == value


@settings(max_examples=200, deadline=None, derandomize=True)
@given(values)
def test_canonical_bytes_are_read_back_and_are_stable(value: Any) -> None:
    first = canonical(value)
    assert parse(first) == value
    assert canonical(parse(first)) == first


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=60) | st.text('[]{}",:\\u0dD19.eE-+ntfa', max_size=40).map(str.encode))
def test_any_bytes_are_read_as_json_would_or_refused(text: bytes) -> None:
    try:
        value = parse(text)
    except InputError:
        return
    assert value == json.loads(text)
    assert parse(canonical(value)) == value


@pytest.mark.parametrize("text", [b"[" * 10**6 + b"]" * 10**6, b'[{"a":' * 10**5 + b"1" + b"}]" * 10**5])
def test_deep_nesting_is_refused_whatever_the_recursion_limit(text: bytes) -> None:
    # py_ecc, which eth-account brings along, raises the limit; the decoder would then overrun the C stack.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(InputError) as caught:
            parse(text)
    finally:
        sys.setrecursionlimit(limit)
    assert caught.value.code == "too_deep"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, MAX_DEPTH + 5), st.text('[]{}"\\\n', max_size=40), st.booleans())
def test_depth_is_counted_outside_text_only(depth: int, text: str, wide: bool) -> None:
    value: Any = [text] * (50 if wide else 1)
    for level in range(depth):
        value = {text: value} if level % 2 else [value, text]
    if depth + 1 > MAX_DEPTH:
        with pytest.raises(InputError, match="nested deeper"):
            parse(canonical(value))
    else:
        assert parse(canonical(value)) == value


@pytest.mark.parametrize(
    ("text", "member"),
    [
        (b'{"block": {"height": 1}}', ("block", {"height": 1})),
        (b' {"at": 1.5}\n', ("at", 1.5)),
        (b'{"a": null}', ("a", None)),
        (b"{}", None),
        (b'{"a": 1, "b": 2}', None),
        (b'{"a": 1, "a": 2}', None),
        (b'["a", 1]', None),
        (b'{"a": 1', None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_an_object_with_one_member(text: bytes, member: tuple[str, Any] | None) -> None:
    assert parse_member(text) == member


def test_messages_never_echo_the_input() -> None:
    for text in (b'{"secret": 1, "secret": 2}', b'{"secret": 1.5}', b'{"secret"', b'["secret\\u0000"]', b"secret"):
        with pytest.raises(InputError) as caught:
            parse(text)
        assert "secret" not in caught.value.message


def test_plain_text() -> None:
    assert is_plain_text("") and is_plain_text("é😀\n")
    assert not is_plain_text("\0") and not is_plain_text("\ud83d") and not is_plain_text("a\udc00b")
