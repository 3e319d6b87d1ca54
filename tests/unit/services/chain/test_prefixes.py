"""Finding hashes by their first digits: what is found, and how far is searched."""

import os

import pytest

from services.chain import prefixes
from services.chain.prefixes import Beginnings, RecentHashes, is_beginning
from services.store.index import IndexReader


class Chain(IndexReader):
    """A chain in memory: blocks with so many transactions each, oldest first."""

    def __init__(self, counts: list[int]) -> None:
        self.blocks = [os.urandom(32).hex() for _ in counts]
        self.packed = {name: os.urandom(32 * count) for name, count in zip(self.blocks, counts, strict=True)}
        self.largest = 0
        self.asked = 0  # blocks whose ids were read

    def tip(self):  # type: ignore[no-untyped-def, override] # only these two are read
        return type("Tip", (), {"height": len(self.blocks), "hash": self.blocks[-1]})

    def grow(self, counts: list[int]) -> None:
        for count in counts:
            self.blocks.append(os.urandom(32).hex())
            self.packed[self.blocks[-1]] = os.urandom(32 * count)

    def hashes(self, first: int, limit: int) -> list[str]:
        return self.blocks[first - 1 : first - 1 + limit]

    def packed_ids(self, hashes: list[str]) -> dict[str, bytes]:
        self.asked += len(hashes)
        found = {name: self.packed[name] for name in hashes}
        self.largest = max(self.largest, sum(map(len, found.values())))
        return found


def find_beginnings(chain: Chain, digits: str, most: int) -> Beginnings:
    return RecentHashes(chain).find(digits, most)


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


def test_only_what_is_new_is_read_again() -> None:
    chain = Chain([2] * 100)
    recent = RecentHashes(chain)
    assert recent.find("ffffffffffffffff", 5).lowest == 1
    assert chain.asked == 100
    recent.find("ffffffffffffffff", 5)
    assert chain.asked == 100, "nothing is new"
    chain.grow([3])
    last = chain.packed[chain.blocks[-1]].hex()[128:]
    assert recent.find(last[:9], 5).transactions == (last,) and chain.asked == 101
    chain.grow([1] * 50)  # more than is compared first
    assert recent.find(last[:9], 5).transactions == (last,) and chain.asked == 151
    assert recent.find(chain.blocks[-1][:9], 5).blocks == (chain.blocks[-1],)


@pytest.mark.parametrize("depth", [1, 5, 40, 200])
def test_after_a_reorganisation_the_branch_that_was_left_is_not_found(depth: int) -> None:
    chain = Chain([1] * 200)
    recent = RecentHashes(chain)
    recent.find("ffffffffffffffff", 5)
    left = chain.blocks[-depth:]
    del chain.blocks[-depth:]
    chain.grow([1] * (depth + 1))
    for name in left:
        assert recent.find(name[:12], 5).blocks == ()
        assert recent.find(chain.packed[name].hex()[:12], 5).transactions == ()
    for name in chain.blocks:
        assert recent.find(name[:12], 5).blocks == (name,)
        assert recent.find(chain.packed[name].hex()[:12], 5).transactions == (chain.packed[name].hex(),)
    assert recent.find("ffffffffffffffff", 5) == RecentHashes(chain).find("ffffffffffffffff", 5)


def test_a_chain_that_became_shorter_is_searched_as_it_is() -> None:
    chain = Chain([1] * 60)
    recent = RecentHashes(chain)
    gone = chain.blocks[59]
    recent.find("ffffffffffffffff", 5)
    del chain.blocks[10:]
    assert recent.find(gone[:12], 5).blocks == ()
    assert recent.find(chain.blocks[9][:12], 5).blocks == (chain.blocks[9],)


def test_the_window_moves_with_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes, "BLOCKS", 30)
    chain = Chain([1] * 30)
    recent = RecentHashes(chain)
    for _ in range(5):
        chain.grow([1] * 7)
        found = recent.find("ffffffffffffffff", 5)
        assert found == find_beginnings(chain, "ffffffffffffffff", 5)
        assert found.lowest == len(chain.blocks) - 29


@pytest.mark.parametrize("length", range(4, 64))
def test_any_number_of_digits_is_compared_in_full(length: int) -> None:
    chain = Chain([3] * 4)
    recent = RecentHashes(chain)
    wanted = chain.packed[chain.blocks[1]].hex()[64:128]
    assert wanted in recent.find(wanted[:length], 5).transactions
    other = wanted[: length - 1] + ("0" if wanted[length - 1] != "0" else "1")
    assert wanted not in recent.find(other, 5).transactions
    assert recent.find(wanted[2 : 2 + max(8, length - 2)], 5).transactions == (), "not from the middle of an id"


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
