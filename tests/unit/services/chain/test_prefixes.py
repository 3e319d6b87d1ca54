"""Finding hashes by their first digits: what is found, and how far is searched."""

import os

import pytest

from services.chain import prefixes
from services.chain.prefixes import find_beginnings, is_beginning
from services.store.index import IndexReader


class Chain(IndexReader):
    """A chain in memory: blocks with so many transactions each, oldest first."""

    def __init__(self, counts: list[int]) -> None:
        self.blocks = [os.urandom(32).hex() for _ in counts]
        self.packed = {name: os.urandom(32 * count) for name, count in zip(self.blocks, counts, strict=True)}
        self.largest = 0

    def tip(self):  # type: ignore[no-untyped-def, override] # only its height is read
        return type("Tip", (), {"height": len(self.blocks)})

    def hashes(self, first: int, limit: int) -> list[str]:
        return self.blocks[first - 1 : first - 1 + limit]

    def packed_ids(self, hashes: list[str]) -> dict[str, bytes]:
        found = {name: self.packed[name] for name in hashes}
        self.largest = max(self.largest, sum(map(len, found.values())))
        return found


def test_only_the_newest_blocks_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes, "BLOCKS", 300)
    chain = Chain([1] * 1000)
    assert find_beginnings(chain, chain.blocks[-300], 5).blocks == (chain.blocks[-300],)
    found = find_beginnings(chain, chain.blocks[-301], 5)
    assert (found.blocks, found.lowest, found.more) == ((), 701, False)
    assert find_beginnings(Chain([1] * 300), "ffffffffff", 5).lowest == 1


def test_few_ids_are_in_memory_at_once_and_few_are_searched() -> None:
    chain = Chain([50_000] * 10)
    found = find_beginnings(chain, "ffffffffffffffff", 5)
    assert found.lowest > 7 and chain.largest <= 2 * 32 * 50_000
    chain = Chain([1] * 500)
    last = chain.packed[chain.blocks[0]].hex()
    assert find_beginnings(chain, last[:20], 5).transactions == (last,)


def test_the_last_of_equal_beginnings_comes_first() -> None:
    chain = Chain([3, 2])
    for name in chain.blocks:
        chain.packed[name] = bytes.fromhex("abcd") * (len(chain.packed[name]) // 2)
    chain.packed[chain.blocks[1]] = b"\xab\xcd" + bytes(30) + b"\xab\xcd" + bytes(29) + b"\x01"
    found = find_beginnings(chain, "abcd", 3)
    assert found.transactions[:2] == ("abcd" + "00" * 29 + "01", "abcd" + "00" * 30) and found.more


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("abc", False),
        ("abcd", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("ABCD", False),
        ("0xab", False),
        ("", False),
    ],
)
def test_four_digits_are_enough(text: str, fits: bool) -> None:
    assert is_beginning(text) is fits
