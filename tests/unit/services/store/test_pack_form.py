"""The form of packs: what was packed once can be read for ever, and damage is never read as something else."""

import hashlib
from importlib import resources

import pytest

from services.errors import Damaged
from services.store.pack_form import BlockRecords, Part, pack, unpack

BLOCKS = [
    BlockRecords(b'{"index": 1}', b'{"index":1,"hash":"%s"}' % (b"ab" * 32), None, b""),
    BlockRecords(
        b'{"index": 2, "transactions": [{"sealer": 1}]}',
        b'{"index":2,"hash":"%s"}' % (b"cd" * 32),
        b'{"supply":"1"}',
        bytes(range(32)),
    ),
]
# Made by the first release that packed blocks.
PACKED = bytes.fromhex(
    "010000003a0000002028b52ffd24ba6d0100b03020312032343335323139303832316162326364227d0700cb2566a1f0a361"
    "da14b90dcb2532aec29ad984123ae0398d000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f28"
    "b52ffd244b4d0100a820317d0a2d205b7b227365616c317d5d7d0a7b227d060035cbca6eb9787cc9983708d0fbad5811826e"
    "0b8141"
)


def test_a_pack_of_the_first_release_is_read() -> None:
    assert unpack(PACKED) == BLOCKS


def test_the_dictionary_is_never_changed() -> None:
    text = resources.files("services.store").joinpath("shapes", "1.txt").read_bytes()
    assert hashlib.sha256(text).hexdigest() == "4379eb07f29c22345a41b4f3bf35f059dc9654c8006704a0c6b9641d7132b8f5"


@pytest.mark.parametrize(
    "block",
    [
        *BLOCKS,
        BlockRecords(b"x", b"y", b"z", None),
        BlockRecords(b"", b"", b"", b""),
        BlockRecords(b"\xff\0", b"\r", b" ", b"1" * 64),
    ],
)
def test_all_comes_back_as_it_was(block: BlockRecords) -> None:
    made = pack([block, block])
    assert made is not None and unpack(made) == [block, block]


@pytest.mark.parametrize(
    "block",
    [
        BlockRecords(b"a\nb", b"", b"", b""),
        BlockRecords(b"-", b"", b"", b""),
        BlockRecords(b"", b"-", b"", b""),
        BlockRecords(b"", b"", b"", b"33 bytes".ljust(33)),
    ],
)
def test_what_would_come_back_otherwise_is_not_packed(block: BlockRecords) -> None:
    assert pack([block]) is None


def test_of_a_part_the_rest_is_not_needed() -> None:
    ids_at = 9 + int.from_bytes(PACKED[1:5], "big")
    bodies_at = ids_at + int.from_bytes(PACKED[5:9], "big")
    parts: list[tuple[Part, int]] = [("headers", ids_at), ("ids", bodies_at)]
    for part, end in parts:
        found = unpack(PACKED[:end], part)
        assert [block.header for block in found] == [block.header for block in BLOCKS]
        assert [block.ids for block in found] == [None if part == "headers" else block.ids for block in BLOCKS]
        assert all(block.text is block.undo is None for block in found)


def test_a_flipped_bit_is_never_read_as_something_else() -> None:
    for position in range(len(PACKED)):
        for bit in (1, 16, 128):
            wrong = bytearray(PACKED)
            wrong[position] ^= bit
            try:
                found = unpack(bytes(wrong))
            except Damaged:
                continue
            assert found == BLOCKS
    for end in range(len(PACKED)):
        with pytest.raises(Damaged):
            unpack(PACKED[:end])
