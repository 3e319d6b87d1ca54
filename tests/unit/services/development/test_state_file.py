"""The bytes of a state file: equal states give equal bytes, and what is not such a file is refused by a sentence."""

import dataclasses
import gzip
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.development import state_file
from services.development.state_file import (
    BadState,
    LeftTransaction,
    StaleBlock,
    State,
    WaitingTransaction,
    decode,
    encode,
)
from services.system.programs import ROOT
from tests.support.specs import make_spec

VECTOR = ROOT / "tests" / "vectors" / "state-1.jsonl"
SPEC = make_spec(allocations={})
STATE = State(
    SPEC,
    "some words",
    blocks=[b'{"index": 2}', b'{"index": 3}'],
    stale=[StaleBlock(b'{"index": 2, "proof": 1}', None), StaleBlock(b'{"index": 4}', 1.5)],
    waiting=[WaitingTransaction(b'{"nonce": 1}', 1750000000.25, 0), WaitingTransaction(b'{"nonce": 0}', 3.0, 2)],
    left=[LeftTransaction("ab" * 32, "dropped", "\u00e9 \U0001f300 \n", 12)],
    parts={"clock": {"offset": 3}, "a": [1.5, None]},
)


def sealed(*lines: str, head: str = '{"format": "quarry-state", "version": 1}') -> bytes:
    """A file with these lines, and the right hash."""
    body = "".join(f"{line}\n" for line in (head, *lines)).encode()
    return body + b'{"sha256": "%s"}\n' % hashlib.sha256(body).hexdigest().encode()


SPEC_LINE = encode(State(SPEC, "")).decode().splitlines()[1]
PHRASE_LINE = '{"phrase": ""}'


def test_a_state_survives() -> None:
    assert decode(encode(STATE)) == STATE
    assert decode(gzip.compress(encode(STATE))) == STATE


def test_the_order_of_parts_makes_no_difference() -> None:
    turned = dataclasses.replace(STATE, parts=dict(reversed(STATE.parts.items())))
    assert encode(turned) == encode(STATE)


def test_the_file_is_lines_of_json() -> None:
    lines = encode(dataclasses.replace(STATE, spec=SPEC)).decode().splitlines()
    assert lines[0] == '{"format": "quarry-state", "version": 1}'
    assert lines[2:9] == [
        '{"phrase": "some words"}',
        '{"block": {"index": 2}}',
        '{"block": {"index": 3}}',
        '{"stale": {"block": {"index": 2, "proof": 1}, "staged_at": null}}',
        '{"stale": {"block": {"index": 4}, "staged_at": 1.5}}',
        '{"waiting": {"admitted_at": 1750000000.25, "replacements": 0, "transaction": {"nonce": 1}}}',
        '{"waiting": {"admitted_at": 3.0, "replacements": 2, "transaction": {"nonce": 0}}}',
    ]
    assert lines[10:12] == [
        '{"part": {"name": "a", "value": [1.5, null]}}',
        '{"part": {"name": "clock", "value": {"offset": 3}}}',
    ]
    body = encode(STATE).rpartition(b'{"sha256"')[0]
    assert lines[-1] == f'{{"sha256": "{hashlib.sha256(body).hexdigest()}"}}'


def test_the_first_version_can_be_read_for_ever() -> None:
    """The file was written by the release that brought version 1. It must never change."""
    content = VECTOR.read_bytes()
    assert hashlib.sha256(content).hexdigest() == "5f82d8a8276394faf75e223836994aec3b439bb98d04ba697a91a6d9be6cb488"
    assert encode(decode(content)) == content


@given(st.data())
def test_any_altered_byte_is_found(data: st.DataObject) -> None:
    content = bytearray(encode(STATE))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadState):
        decode(bytes(content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "This is not a state file of Quarry."),
        (b"\n", "This is not a state file of Quarry."),
        (b"[" * 100_000, "This is not a state file of Quarry."),
        (b"\xff\xfe\x00", "This is not a state file of Quarry."),
        (b'{"format": "quarry-chain", "version": 1}\n', "This is not a state file of Quarry."),
        (b'{"format": "quarry-state", "version": "1"}\n', "This is not a state file of Quarry."),
        (sealed(head='{"format": "quarry-state", "version": 2}'), "has version 2; this release reads version 1."),
        (sealed(head='{"version": 1, "format": "quarry-state"}'), "its first line is not as Quarry writes it."),
        (encode(STATE)[:-1], "is cut off or altered at its end"),
        (encode(STATE) + b"\n", "is cut off or altered at its end"),
        (encode(STATE)[:200], "is cut off or altered at its end"),
        (encode(STATE).replace(b"some words", b"other word"), "its lines do not have the hash at its end"),
        (gzip.compress(encode(STATE))[:-9], "its compressed data does not end"),
        (gzip.compress(encode(STATE)) + b"x", "something follows its compressed data"),
        (b"\x1f\x8b\x08" + bytes(30), "it cannot be uncompressed"),
        (sealed(), "lacks its chain spec or its phrase"),
        (sealed(SPEC_LINE), "lacks its chain spec or its phrase"),
    ],
)  # fmt: skip
def test_what_is_no_state_file_is_refused_by_a_sentence(content: bytes, words: str) -> None:
    with pytest.raises(BadState) as found:
        decode(content)
    assert words in str(found.value)
    assert str(found.value).endswith(".")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"sail": 1}',
        '{"record": 1, "part": 1}',
        '{"spec": {}}',
        SPEC_LINE,
        PHRASE_LINE,
        '{"stale": {"block": {}}}',
        '{"stale": {"block": [], "staged_at": null}}',
        '{"stale": {"block": {}, "staged_at": true}}',
        '{"stale": {"block": {}, "staged_at": -1}}',
        '{"stale": {"block": {}, "staged_at": 1e300}}',
        '{"waiting": {"admitted_at": 1, "replacements": 0}}',
        '{"waiting": {"admitted_at": "1", "replacements": 0, "transaction": {}}}',
        '{"waiting": {"admitted_at": 1, "replacements": -1, "transaction": {}}}',
        '{"waiting": {"admitted_at": 1, "replacements": 1.0, "transaction": {}}}',
        '{"waiting": {"admitted_at": 1, "replacements": 0, "transaction": "x"}}',
        '{"record": {"id": "ab", "status": "dropped", "reason": "", "at": 1}}',
        '{"record": {"id": "' + "ab" * 32 + '", "status": "No!", "reason": "", "at": 1}}',
        '{"record": {"id": "' + "ab" * 32 + '", "status": "dropped", "reason": 1, "at": 1}}',
        '{"record": {"id": "' + "ab" * 32 + '", "status": "dropped", "reason": "", "at": null}}',
        '{"part": {"name": "Clock", "value": 1}}',
        '{"part": {"name": "clock"}}',
        '{"part": {"name": "clock", "value": NaN}}',
        '{"part": {"name": "clock", "value": 1, "value": 1}}',
    ],
)
def test_a_line_that_does_not_belong_there_is_named(line: str) -> None:
    with pytest.raises(BadState, match=r"^Line 4 of the state file is not one that Quarry writes there\.$"):
        decode(sealed(SPEC_LINE, PHRASE_LINE, line))


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([PHRASE_LINE, SPEC_LINE], 2),
        (['{"block": {}}', SPEC_LINE, PHRASE_LINE], 2),
        ([SPEC_LINE, PHRASE_LINE, '{"part": {"name": "a", "value": 1}}', '{"block": {}}'], 5),
        ([SPEC_LINE, PHRASE_LINE, *['{"part": {"name": "a", "value": 1}}'] * 2], 5),
        ([SPEC_LINE, '{"phrase": 1}'], 3),
    ],
)
def test_lines_have_their_order(lines: list[str], number: int) -> None:
    with pytest.raises(BadState, match=f"^Line {number} of the state file"):
        decode(sealed(*lines))


def test_a_spec_that_cannot_be_used_is_named() -> None:
    with pytest.raises(BadState, match=r"The chain spec of the state file cannot be used: .*difficulty must be"):
        decode(sealed(SPEC_LINE.replace('"difficulty": 1', '"difficulty": 0'), PHRASE_LINE))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_is_too_large_is_neither_written_nor_read(monkeypatch: pytest.MonkeyPatch, pack: Any) -> None:
    content = encode(STATE)
    monkeypatch.setattr(state_file, "MAX_BYTES", len(content) - 1)
    for act in (lambda: encode(STATE), lambda: decode(pack(content))):
        with pytest.raises(BadState, match=r"A state file has at most 64 MiB"):
            act()
    monkeypatch.setattr(state_file, "MAX_BYTES", len(content))
    assert decode(pack(encode(STATE))) == STATE


def test_a_small_file_cannot_become_a_large_one() -> None:
    bomb = gzip.compress(bytes(2**27))
    assert len(bomb) < 2**20
    with pytest.raises(BadState, match="A state file has at most 64 MiB"):
        decode(bomb)
