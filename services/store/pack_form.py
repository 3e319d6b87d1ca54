"""The form of a pack: the records of consecutive blocks as one compressed value.

    version (1 byte) · length of the headers (4) · length of the ids (4) · headers · ids · bodies

Headers and bodies are zstandard frames with checksums. The headers' holds lines: how many transactions each block has
and the CRC-32 of the ids, then the stored headers. The bodies' holds per block a line with its canonical text and one
with its undo record. The dictionary of both is `shapes/1.txt`: a block, transactions of each kind, and the records
beside them; that of the bodies goes on with the text of the headers, since most of it is in the blocks again. The file
belongs to the version and is never changed. Ids do not shrink, so they are in no frame.

So a reader of headers, or of ids, takes only the beginning of a pack (`Part`). Pruning (prune.lua) leaves just that
beginning, with the version PRUNED.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import zstandard

from services.errors import Damaged

VERSION = 1
# As VERSION, without the bodies.
PRUNED = 2
# Of zstandard. Here the lowest gives the smallest packs but for levels that take twenty times as long: most of a pack
# is hex digits of hashes and signatures, which no search for repetitions shortens.
_LEVEL = 1
# Bytes that a frame may claim to hold. A pack has the records of one block, or 2^18 bytes.
_MOST = 2**27
_ID_BYTES = 32
_HEAD = 9
# In place of a record that is not stored, such as the undo record of genesis. A stored record is never this.
_NOTHING = b"-"

# How much of a pack is read: its headers, its headers and ids, or all of it.
Part = Literal["headers", "ids", "whole"]


@dataclass(frozen=True, slots=True)
class BlockRecords:
    """What is stored of one block, byte for byte; None for a record that is not there, or was not asked for."""

    text: bytes | None  # the canonical block; a pruned block has none
    header: bytes | None
    undo: bytes | None
    ids: bytes | None


def pack(blocks: Sequence[BlockRecords]) -> bytes | None:
    """The pack of some blocks. None: they cannot be packed, since unpacking would not give the same bytes."""
    joined = b"".join(block.ids or b"" for block in blocks)
    counts = [_NOTHING if item.ids is None else b"%d" % (len(item.ids) // _ID_BYTES) for item in blocks]
    first = b"%s %d" % (b" ".join(counts), zlib.crc32(joined))
    headers = b"\n".join([first, *(_line(block.header) for block in blocks)])
    bodies = b"\n".join(_line(item) for block in blocks for item in (block.text, block.undo))
    frame = _compressed(headers, _shapes())
    sizes = len(frame).to_bytes(4, "big") + len(joined).to_bytes(4, "big")
    made = b"".join([bytes([VERSION]), sizes, frame, joined, _compressed(bodies, _shapes() + headers)])
    try:
        return made if unpack(made) == list(blocks) else None
    except Damaged:
        return None


def unpack(value: bytes, part: Part = "whole") -> list[BlockRecords]:
    """The blocks of a pack, or of as much of it as was read.

    Raises:
        Damaged
    """
    try:
        return _unpack(value, part)
    except (ValueError, IndexError, zstandard.ZstdError, MemoryError):
        raise Damaged("A pack of blocks cannot be read; quarry chain verify names its blocks.") from None


def _unpack(value: bytes, part: Part) -> list[BlockRecords]:
    if value[0] not in (VERSION, PRUNED):
        raise ValueError("another version")
    ids_at = _HEAD + int.from_bytes(value[1:5], "big")
    bodies_at = ids_at + int.from_bytes(value[5:_HEAD], "big")
    text = _decompressed(value[_HEAD:ids_at], _shapes())
    first, *headers = text.split(b"\n")
    *counts, check = first.split(b" ")
    if len(counts) != len(headers):
        raise ValueError("other headers")
    ids: list[bytes | None] = [None] * len(headers)
    if part != "headers":
        joined = value[ids_at:bodies_at]
        if zlib.crc32(joined) != int(check):
            raise ValueError("other ids")
        at = 0
        for i, count in enumerate(counts):
            if count != _NOTHING:
                end = at + _ID_BYTES * int(count)
                ids[i], at = joined[at:end], end
    bodies: list[bytes] = [_NOTHING] * (2 * len(headers))
    if part == "whole" and value[0] == PRUNED:
        if len(value) != bodies_at:
            raise ValueError("more than the ids")
    elif part == "whole":
        bodies = _decompressed(value[bodies_at:], _shapes() + text).split(b"\n")
        if len(bodies) != 2 * len(headers):
            raise ValueError("other bodies")
    lines = zip(bodies[::2], headers, bodies[1::2], ids, strict=True)
    return [BlockRecords(_record(text), _record(header), _record(undo), item) for text, header, undo, item in lines]


def _line(record: bytes | None) -> bytes:
    return _NOTHING if record is None else record


def _record(line: bytes) -> bytes | None:
    return None if line == _NOTHING else line


def _compressed(text: bytes, dictionary: bytes) -> bytes:
    size = len(text) + len(dictionary)  # of a dictionary alone, zstandard makes parameters for a short text
    parameters = zstandard.ZstdCompressionParameters.from_level(_LEVEL, source_size=size, write_checksum=True)
    return zstandard.ZstdCompressor(dict_data=_raw(dictionary), compression_params=parameters).compress(text)


def _decompressed(frame: bytes, dictionary: bytes) -> bytes:
    if not 0 <= zstandard.frame_content_size(frame) <= _MOST:
        raise ValueError("too large")
    return zstandard.ZstdDecompressor(dict_data=_raw(dictionary)).decompress(frame)


def _raw(dictionary: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


@cache
def _shapes() -> bytes:
    return resources.files("services.store").joinpath("shapes", f"{VERSION}.txt").read_bytes()
