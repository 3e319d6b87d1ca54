"""A sealed file gives back its stream, and every alteration of it is found."""

import io
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.backup import sealed
from services.backup.sealed import BadBackup, Opener, Sealer
from services.wallet.passphrases import BadPassphrase

SMALL = 64  # bytes of a chunk, so that a short stream has several
TAG = 16


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "CHUNK", SMALL)
        patch.setattr(sealed, "COST", 2)
        yield


def seal(stream: bytes, passphrase: str = "horse", part: int = 50) -> bytes:
    output = io.BytesIO()
    sealer = Sealer(output, passphrase)
    for start in range(0, len(stream), part):
        sealer.write(stream[start : start + part])
    sealer.finish()
    return output.getvalue()


def opened(content: bytes, passphrase: str = "horse") -> bytes:
    return Opener(io.BytesIO(content), passphrase).read()


def head_of(content: bytes) -> int:
    """Bytes of the two lines before the chunks."""
    return content.index(b"\n", content.index(b"\n") + 1) + 1


@given(st.binary(max_size=5 * SMALL), st.integers(1, 3 * SMALL))
def test_the_stream_comes_back(stream: bytes, part: int) -> None:
    assert opened(seal(stream, part=part)) == stream


@pytest.mark.parametrize("length", [0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL])
def test_no_cut_and_no_flipped_bit_goes_unnoticed(length: int) -> None:
    content = seal(os.urandom(length))
    for cut in range(len(content)):
        with pytest.raises(BadBackup):
            opened(content[:cut])
    for place in range(len(content)):
        for bit in (1, 0x20, 0x80):
            altered = bytearray(content)
            altered[place] ^= bit
            with pytest.raises(BadBackup):
                opened(bytes(altered))
    with pytest.raises(BadBackup):
        opened(content + b"\0")


def test_chunks_cannot_be_moved_repeated_or_left_out() -> None:
    content = seal(os.urandom(4 * SMALL))
    head, size = head_of(content), SMALL + TAG
    chunks = [content[start : start + size] for start in range(head, len(content), size)]
    one, two, three, four = chunks
    for order in ([two, one, three, four], [one, one, two, three, four], [one, three, four], [one, two, four], [four]):
        with pytest.raises(BadBackup):
            opened(content[:head] + b"".join(order))
    # A cut between two chunks is what a full disk leaves.
    with pytest.raises(BadBackup, match=f"cut off after byte {head + 2 * size}: its last part is missing"):
        opened(content[: head + 2 * size])


def test_a_chunk_of_another_file_with_the_same_passphrase_is_refused() -> None:
    content, other = seal(bytes(2 * SMALL)), seal(bytes(2 * SMALL))
    head = head_of(content)
    with pytest.raises(BadBackup, match="altered after byte"):
        opened(content[:head] + other[head:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", "This is not a backup of Quarry."),
        (lambda content: b"PK\3\4" + content, "This is not a backup of Quarry."),
        (lambda content: content[:9], "cut off in its first line"),
        (lambda content: content[:40], "cut off or was altered in its second line"),
        (lambda content: content.replace(b" 2\n", b" 4\n", 1), "has version 4; this release reads versions 1 to 3."),
        (lambda content: content.replace(b" 2\n", b" 3\n", 1), "does not open the backup, or the first lines"),
        (lambda content: content.replace(b" 2\n", b" 1\n", 1), "does not open the backup, or the first lines"),
        (lambda content: content.replace(b'"n": 2,', b'"n": 3,'), "asks for more work"),
        (lambda content: content.replace(b'"n": 2,', b'"n": 524288,'), "asks for more work"),
        (lambda content: content.replace(b'"n": 2,', b'"n": 99999999999999,'), "asks for more work"),
        (lambda content: content.replace(b'"n": 2,', b'"n": true,'), "altered in its second line"),
        (lambda content: content.replace(b'"p": 1', b'"p": 99'), "altered in its second line"),
        (lambda content: content.replace(b'"r": 8', b'"r": 1024'), "altered in its second line"),
        (lambda content: content[:16] + b"[" * 200_000, "altered in its second line"),
    ],
)
def test_what_is_no_backup_is_named(change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadBackup, match=message):
        opened(change(seal(b"stream")))


def test_a_wrong_passphrase_is_named_and_every_normal_form_of_the_right_one_opens() -> None:
    content = seal(b"stream", "caf\u00e9")
    assert opened(content, "cafe\u0301") == b"stream"
    for wrong in ("cafe", "", "\udcff", "Caf\u00e9"):
        with pytest.raises(BadBackup, match="This passphrase does not open the backup"):
            opened(content, wrong)
    with pytest.raises(BadPassphrase):
        seal(b"", "\udcff")


def test_two_files_of_one_stream_have_nothing_in_common() -> None:
    first, second = seal(bytes(100)), seal(bytes(100))
    assert first[head_of(first) :] != second[head_of(second) :]
    assert bytes(20) not in first


def test_the_usual_cost_is_within_what_a_reader_accepts() -> None:
    assert sealed._MAX_N * sealed._R * 128 == 2**28  # bytes that a stranger's file can make a reader take
