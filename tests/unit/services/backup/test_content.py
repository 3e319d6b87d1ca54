"""What a backup holds is read as it was written, and nothing else is read."""

import base64
import io
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.backup.content import Manifest, Reader, Writer
from services.backup.sealed import WITHOUT_CHAIN, BadBackup, Sealer
from tests.support.backups import PASSPHRASE, chain_of, cheap
from tests.support.fake_node import SPEC

__all__ = ["cheap"]
pytestmark = pytest.mark.usefixtures("cheap")

HASH = "ab" * 32
SHARE = ("share", "12 - - w1")
MANIFEST = Manifest("node1", SPEC, HASH, HASH, 2, 1_700_000_000, "1.2", True, True)


def sealed(lines: list[Any], version: int | None = None) -> io.BytesIO:
    """A backup with these lines: bytes, or JSON."""
    output = io.BytesIO()
    sealer = Sealer(output, PASSPHRASE, version=version)
    text = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    sealer.write(zlib.compress(text, wbits=31))
    sealer.finish()
    output.seek(0)
    return output


def read(source: io.BytesIO) -> list[tuple[str, Any]]:
    return list(Reader(source, PASSPHRASE).lines())


def test_everything_comes_back() -> None:
    output = io.BytesIO()
    writer = Writer(Sealer(output, PASSPHRASE), MANIFEST)
    genesis, block = chain_of(2)
    record = {"status": "expired", "reason": "age", "at": 3.5}
    writer.file("node/private.key", b"\x00\xff")
    writer.block(genesis)
    writer.block(block)
    writer.waiting(b'{"a":1}')
    writer.record(HASH, record | {"more": 1})
    writer.name("0x1", "the bakery")
    writer.item(*SHARE)
    writer.finish()
    output.seek(0)
    reader = Reader(output, PASSPHRASE)
    assert reader.manifest == MANIFEST
    assert list(reader.lines()) == [
        ("file", ("node/private.key", b"\x00\xff")), ("block", genesis), ("block", block), ("waiting", {"a": 1}),
        ("record", (HASH, record)), ("name", ("0x1", "the bakery")), SHARE,
    ]  # fmt: skip


HEAD = {"manifest": MANIFEST.to_object()}
END: dict[str, Any] = {"end": {}}


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([], 1),
        ([END], 1),
        ([b"\n"], 1),
        ([b'{"block": {}}\n', END], 1),
        ([{"manifest": MANIFEST.to_object() | {"node": "../x"}}], 1),
        ([{"manifest": MANIFEST.to_object() | {"node": 5}}], 1),
        ([{"manifest": MANIFEST.to_object() | {"height": True}}], 1),
        ([{"manifest": MANIFEST.to_object() | {"height": 0}}], 1),
        ([{"manifest": MANIFEST.to_object() | {"tip": "AB" * 32}}], 1),
        ([{"manifest": MANIFEST.to_object() | {"release": "\x1b[2J"}}], 1),
        ([{"manifest": []}], 1),
        ([{"manifest": {}}], 1),
        ([HEAD], 2),
        ([HEAD, HEAD, END], 2),
        ([HEAD, {"end": {"block": 1}}], 2),
        ([HEAD, {"more": 1}, END], 2),
        ([HEAD, b"[" * 100_000 + b"\n", END], 2),
        ([HEAD, b'{"file": {}, "end": {}}\n'], 2),
        ([HEAD, {"file": {"name": "a"}}, END], 2),
        ([HEAD, {"file": {"name": "a", "content": "?"}}, END], 2),
        ([HEAD, {"file": {"name": "a", "content": "AAAA" * 30_000}}, END], 2),
        ([HEAD, {"record": {"id": HASH, "status": "x", "reason": "y", "at": -1}}, END], 2),
        ([HEAD, {"record": {"id": HASH, "status": "X Y", "reason": "y", "at": 1}}, END], 2),
        ([HEAD, {"record": {"id": "1", "status": "x", "reason": "y", "at": 1}}, END], 2),
        ([HEAD, {"name": {"name": "a", "address": 1}}, END], 2),
        ([HEAD, {"share": "12 -"}, END], 2),
        ([HEAD, {"share": "12 - - w1"}, {"voucher": {}}, END], 3),
        ([HEAD, {"share": "12 - - w1"}, {"name": {"name": "a", "address": "b"}}, END], 3),
        ([HEAD, {"waiting": 1}, b'{"block": {}}\n', {"end": {"waiting": 1, "block": 1}}], 3),
        ([HEAD, END, b"\n"], 2),
        ([HEAD, END, END], 2),
    ],
)
def test_every_other_line_is_refused_by_its_number(lines: list[Any], number: int) -> None:
    with pytest.raises(BadBackup, match=f"Line {number} of what the backup holds"):
        read(sealed(lines))


def test_a_backup_without_the_chain_says_so_and_has_no_blocks() -> None:
    bare = replace(MANIFEST, chain=False)
    output = io.BytesIO()
    writer = Writer(Sealer(output, PASSPHRASE, version=WITHOUT_CHAIN), bare)
    writer.item(*SHARE)
    writer.finish()
    output.seek(0)
    reader = Reader(output, PASSPHRASE)
    assert reader.manifest == bare and list(reader.lines()) == [SHARE]
    head, block = {"manifest": bare.to_object()}, b'{"block": {}}\n'
    for lines, version, number in (
        ([head, END], None, 1),
        ([HEAD, END], WITHOUT_CHAIN, 1),
        ([{"manifest": bare.to_object() | {"chain": True}}, END], WITHOUT_CHAIN, 1),
        ([{"manifest": bare.to_object() | {"chain": 0}}, END], WITHOUT_CHAIN, 1),
        ([{"manifest": MANIFEST.to_object() | {"chain": 1}}, END], None, 1),
        ([head, block, {"end": {"block": 1}}], WITHOUT_CHAIN, 2),
        ([head, {"block": {}}, {"end": {"block": 1}}], WITHOUT_CHAIN, 2),
    ):
        with pytest.raises(BadBackup, match=f"Line {number} of what the backup holds"):
            read(sealed(lines, version))


def test_a_line_that_never_ends_is_refused_before_it_is_held() -> None:
    with pytest.raises(BadBackup, match="Line 2"):
        read(sealed([HEAD, b"0" * (2**24 + 2**16 + 2)]))


def test_what_a_reader_would_hold_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.backup.content._MAX_OTHERS", 200)
    lines = [{"waiting": {"n": number}} for number in range(20)]
    with pytest.raises(BadBackup, match="more than 0 MiB beside its blocks"):
        read(sealed([HEAD, *lines, {"end": {"waiting": 20}}]))
    blocks = [b'{"block": {"n": 1}}\n'] * 20
    assert len(read(sealed([HEAD, *blocks, {"end": {"block": 20}}]))) == 20


def test_what_is_not_compressed_is_refused() -> None:
    output = io.BytesIO()
    sealer = Sealer(output, PASSPHRASE)
    sealer.write(b"plain")
    sealer.finish()
    output.seek(0)
    with pytest.raises(BadBackup, match="Line 1"):
        read(output)


def test_a_chain_spec_that_is_another_one_here_is_refused() -> None:
    for change, message in (
        ({"spec_hash": "00" * 32}, "another one for this release"),
        ({"spec": {}}, "cannot be used: .* lacks name"),
        ({"spec": SPEC.to_object() | {"news": 1}}, "cannot be used"),
    ):
        with pytest.raises(BadBackup, match=message):
            read(sealed([{"manifest": MANIFEST.to_object() | change}, END]))


def test_a_backup_of_version_1_is_read_and_has_nothing_that_it_did_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a release with version 1 has written."""
    kept = json.loads(Path(__file__).with_name("version_1.json").read_text())
    reader = Reader(io.BytesIO(base64.b64decode(kept["backup"])), kept["passphrase"])
    kinds = [kind for kind, _ in reader.lines()]
    assert reader.manifest.height == 3 and kinds == ["file"] * 7 + ["block"] * 3 + ["record", "name"]
    monkeypatch.setattr("services.backup.sealed.VERSION", 1)
    with pytest.raises(BadBackup, match="Line 2"):
        read(sealed([HEAD, dict([SHARE]), {"end": {"share": 1}}]))
