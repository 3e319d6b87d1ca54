"""A backup that is checked is whole: no flipped byte, no cut, no block that is missing or another chain's."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.backup import sealed
from services.backup.checking import Checked, check
from services.backup.content import Manifest, Writer
from services.backup.sealed import BadBackup, Sealer
from shared.canonical import canonical
from shared.rules import rules_for
from tests.support.backups import PASSPHRASE, ListSource, backup_of, chain_of, keys_in
from tests.support.fake_node import SPEC

CHAIN = chain_of(4)


@pytest.fixture(autouse=True, scope="module")
def cheap_module() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "COST", 2)
        patch.setattr(sealed, "CHUNK", 256)
        yield


@pytest.fixture(scope="module", params=[True, False], ids=["whole", "without the chain"])
def content(request: pytest.FixtureRequest, cheap_module: None, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return backup_of(ListSource(CHAIN, keys=keys_in(tmp_path_factory.mktemp("keys"))), with_chain=request.param)


def checked(text: bytes) -> Checked:
    return check(io.BytesIO(text), PASSPHRASE, lambda done, total: None)


def test_a_whole_backup_says_what_it_is_of(content: bytes) -> None:
    found = checked(content)
    assert (found.manifest.node, found.manifest.height, found.manifest.keys) == ("node1", 4, True)
    assert found.manifest.tip == rules_for(SPEC).read_block(json.loads(CHAIN[-1])).hash
    assert dict(found.counts) == {"file": 7, "wallets": 1, **({"block": 4} if found.manifest.chain else {})}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_byte_that_is_altered_cut_or_added_is_noticed(content: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    altered = bytearray(content)
    altered[place] ^= data.draw(st.integers(1, 255))
    for text in (bytes(altered), content[:place], content[:place] + b"\0" + content[place:], content + content[place:]):
        with pytest.raises(BadBackup) as error:
            checked(text)
        assert str(error.value).count(".") >= 1
        assert "\n" not in str(error.value)


def forged(change: Callable[[list[bytes]], list[bytes]] = list, **fields: Any) -> bytes:
    """A backup that its owner made by hand, with the right passphrase."""
    rules = rules_for(SPEC)
    honest = {
        "node": "node1", "spec": SPEC, "genesis": rules.genesis().hash, "height": 4, "created": 1, "release": "1",
        "tip": rules.read_block(json.loads(CHAIN[-1])).hash, "keys": False, "records": False,
    }  # fmt: skip
    files = fields.pop("files", {})
    output = io.BytesIO()
    version = None if fields.get("chain", True) else sealed.WITHOUT_CHAIN
    writer = Writer(Sealer(output, PASSPHRASE, version=version), Manifest(**honest | fields))
    for name, text in files:
        writer.file(name, text)
    for block in change(list(CHAIN)):
        writer.block(block)
    writer.finish()
    return output.getvalue()


def test_a_forged_backup_that_is_honest_passes() -> None:
    assert checked(forged()).counts["block"] == 4


@pytest.mark.parametrize(
    ("change", "fields", "message"),
    [
        (lambda chain: chain[:-1], {}, "do not end with the tip"),
        (lambda chain: [], {}, "do not end with the tip"),
        (lambda chain: [*chain, chain[-1]], {}, "Block 5 .* does not follow"),
        (lambda chain: [chain[0], chain[2], chain[1], chain[3]], {}, "Block 2 .* does not follow"),
        (lambda chain: chain[1:], {}, "Block 1 of the backup"),
        (lambda chain: [chain[0], b"[1]", *chain[2:]], {}, "Block 2 of the backup cannot be used"),
        (lambda chain: [chain[0], b"{", *chain[2:]], {}, "Block 2 of the backup cannot be used"),
        (list, {"tip": "00" * 32}, "do not end with the tip"),
        (list, {"height": 5}, "do not end with the tip"),
        (list, {"genesis": "00" * 32}, "genesis block of the backup is not the one"),
        (list, {"files": [("../../etc/passwd", b"")]}, "a file whose name no backup"),
        (list, {"files": [("chain/mnemonic", b""), ("chain/mnemonic", b"")]}, "a file twice"),
    ],
)
def test_what_is_no_chain_is_named(change: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadBackup, match=message):
        checked(forged(change, **fields))


def test_a_backup_without_the_chain_is_of_a_chain_all_the_same() -> None:
    with pytest.raises(BadBackup, match="genesis block of the backup is not the one"):
        checked(forged(lambda chain: [], chain=False, genesis="00" * 32))
    assert checked(forged(lambda chain: [], chain=False)).counts["block"] == 0
    with pytest.raises(BadBackup, match="Line 2"):
        checked(forged(chain=False))


def test_an_altered_block_is_another_block() -> None:
    block = json.loads(CHAIN[2])
    altered = canonical(block | {"timestamp": block["timestamp"] + 1})
    with pytest.raises(BadBackup, match=r"Block 4 .* does not follow"):
        checked(forged(lambda chain: [*chain[:2], altered, chain[3]]))
