"""Cutting a long array into its items: whatever the pieces, the items are those that `json` would find."""

import itertools
import json
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.peers.json_array import array_items
from shared.errors import InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ITEMS = st.lists(st.dictionaries(st.text(max_size=8), VALUES, max_size=3), max_size=5)


def pieces(text: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


def items(text: bytes, *cuts: int, most: int = 10_000) -> list[Any]:
    return [json.loads(item) for item in array_items(pieces(text, cuts), "chain", most)]


@given(
    ITEMS,
    VALUES,
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 10_000), max_size=20),
)
def test_items_are_what_json_finds(
    chain: list[Any], other: Any, indent: int | None, ascii_only: bool, first: bool, cuts: list[int]
) -> None:
    value = {"chain": chain, "other": other} if first else {"other": other, "chain": chain}
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return
    if "\\u" in text.decode() and any(word in text.decode() for word in ("\\ud", "\\u0000")):
        return  # the reader of the parts judges such text
    assert items(text, *cuts) == chain


@pytest.mark.parametrize("text", [rb'{"chain": [{"a": "\\"}, {"b": "\"]}"}], "length": 2}', b'{"chain":[{},{}]}\n'])
def test_every_cut_gives_the_same(text: bytes) -> None:
    whole = items(text)
    assert len(whole) == 2
    assert all(items(text, cut) == whole for cut in range(len(text) + 1))
    assert items(text, *range(len(text))) == whole


BAD = {
    "nothing": b"",
    "no object": b"[]",
    "another name": b'{"chains": [{}]}',
    "no array": b'{"chain": {}}',
    "cut off": b'{"chain": [{}, {}',
    "cut off after the array": b'{"chain": [{}]',
    "more behind it": b'{"chain": [{}]} {}',
    "the array twice": b'{"chain": [{}], "chain": [{}]}',
    "items that are no objects": b'{"chain": [1, 2]}',
    "items that are arrays": b'{"chain": [[], []]}',
    "no comma": b'{"chain": [{} {}]}',
    "two commas": b'{"chain": [{},, {}]}',
    "a comma at the end": b'{"chain": [{},]}',
    "a comma at the beginning": b'{"chain": [, {}]}',
    "the wrong bracket": b'{"chain": [{}}]',
    "brackets that close nothing": b"]]]]",
    "an escaped quote before the name": rb'{"x\"chain": [{}]}',
    "a name inside": b'{"a": {"chain": [{}]}}',
    "endless space": b'{"chain": [' + b" " * 5000 + b"{}]}",
    "endless envelope": b'{"a": "' + b"x" * 100_000 + b'", "chain": []}',
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_is_no_such_object_is_refused(text: bytes) -> None:
    for cuts in ((), range(0, len(text), 7)):
        with pytest.raises(InputError) as refusal:
            items(text, *cuts)
        assert refusal.value.code == "malformed_json"


def test_an_item_without_end_is_given_up_while_it_comes() -> None:
    taken = 0

    def endless() -> Iterable[bytes]:
        nonlocal taken
        yield b'{"chain": [{"a": "'
        while True:
            taken += 1000
            yield b"x" * 1000

    with pytest.raises(InputError) as refusal:
        list(array_items(endless(), "chain", 50_000))
    assert refusal.value.code == "item_too_long"
    assert taken <= 51_000
    with pytest.raises(InputError):
        items(b'{"chain": [{"a": "' + b"x" * 100 + b'"}]}', most=100)


def test_many_short_pieces_cost_no_more_than_their_bytes() -> None:
    text = json.dumps({"chain": [{"a": "x" * 200_000, "b": ["\\" * 100_000, '"' * 100_000]}]}).encode()
    cuts = random.Random(1).sample(range(len(text)), 5000)
    assert len(items(text, *cuts, most=10**6)) == 1
