"""The state file: one development chain with all that its node keeps, as bytes (docs/testing-with-quarry.md).

A file is lines of JSON. The first names format and version, the last holds the SHA-256 of all lines before it, so no
altered byte goes unnoticed. In between, in this order: the chain spec, the recovery phrase of the development accounts,
the blocks of the chain from height 2 on, blocks that are not on the chain, waiting transactions in the order of their
arrival, records of transactions that left the mempool, and the parts of a node that come with a name.

Equal states give equal bytes: objects have sorted keys, and no line depends on when or where the file is written. A
file may be compressed by gzip, which every reader here undoes.

Nothing here reads a file or the store, and nothing judges a block: `services.development.states` does.
"""

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared import wire
from shared.canonical import canonical
from shared.chain_spec import BadChainSpec, ChainSpec, spec_from_object
from shared.errors import NodeError
from shared.hashing import is_hash, sha256

FORMAT, VERSION = "quarry-state", 1
# Bytes of a file, before it is compressed.
MAX_BYTES = 64 * 2**20
TOO_LARGE = (
    f"A state file has at most {MAX_BYTES // 2**20} MiB, and this state has more; quarry chain export writes chains of "
    "any length."
)

_TRAILER = re.compile(rb'\{"sha256": "([0-9a-f]{64})"\}\n')
_TRAILER_LENGTH = len('{"sha256": ""}\n') + 64
_GZIP = b"\x1f\x8b"
_ORDER = ("spec", "phrase", "block", "stale", "waiting", "record", "part")
_BLOCK = b'{"block": '
_STATUS = re.compile(r"[a-z_]{1,32}")
_PART = re.compile(r"[a-z-]{1,32}")
_MAX_TEXT = 1000  # characters of a reason, and of a phrase


class BadState(NodeError):
    """A state cannot be written, or a state file cannot be used. The message is a sentence; nothing was loaded."""


@dataclass(frozen=True, slots=True)
class StaleBlock:
    """A verified block that is stored, but not on the chain."""

    text: bytes  # the canonical block
    staged_at: float | None  # Unix seconds, if its branch is not complete yet; None: it was on the chain once


@dataclass(frozen=True, slots=True)
class WaitingTransaction:
    """A transaction in the mempool."""

    text: bytes  # the canonical transaction
    admitted_at: float  # Unix seconds
    replacements: int  # how often its nonce was replaced


@dataclass(frozen=True, slots=True)
class LeftTransaction:
    """The record of a transaction that left the mempool without being mined."""

    id: str
    status: str
    reason: str
    at: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class State:
    """What a state file holds. Blocks and transactions are not read yet: they are as the file has them."""

    spec: ChainSpec
    phrase: str  # the development accounts are its first; "": those that every node knows
    blocks: Sequence[bytes] = ()  # canonical, oldest first, without genesis
    stale: Sequence[StaleBlock] = ()
    waiting: Sequence[WaitingTransaction] = ()  # in the order of their arrival
    left: Sequence[LeftTransaction] = ()
    parts: Mapping[str, Any] = field(default_factory=dict)  # name → JSON value


def encode(state: State) -> bytes:
    """The bytes of a state file.

    Raises:
        BadState: it would have more than MAX_BYTES.
    """
    text = b"".join(_lines(state))
    text += b'{"sha256": "%s"}\n' % sha256(text).hex().encode()
    if len(text) > MAX_BYTES:
        raise BadState(TOO_LARGE)
    return text


def decode(content: bytes) -> State:
    """The state in the bytes of a file, compressed or not. Its hash is right, and its shapes are.

    Raises:
        BadState: the file is damaged, cut off, too large, of another format, or of another version.
    """
    text = _uncompressed(content)
    if len(text) > MAX_BYTES:
        raise BadState(TOO_LARGE)
    _check_head(text[: text.find(b"\n") + 1])
    body, trailer = text[:-_TRAILER_LENGTH], _TRAILER.fullmatch(text[-_TRAILER_LENGTH:])
    if trailer is None:
        raise BadState("The state file is cut off or altered at its end: it does not end with the hash of its lines.")
    if sha256(body).hex().encode() != trailer[1]:
        raise BadState("The state file is damaged: its lines do not have the hash at its end.")
    return _Reader(body).read()


def _lines(state: State) -> Iterator[bytes]:
    def line(name: str, value: Any) -> bytes:
        return canonical({name: value}) + b"\n"

    yield canonical({"format": FORMAT, "version": VERSION}) + b"\n"
    yield line("spec", state.spec.to_object())
    yield line("phrase", state.phrase)
    for text in state.blocks:
        yield _BLOCK + text + b"}\n"
    for stale in state.stale:
        yield b'{"stale": {"block": %s, "staged_at": %s}}\n' % (stale.text, canonical(stale.staged_at))
    for item in state.waiting:
        yield b'{"waiting": {"admitted_at": %s, "replacements": %d, "transaction": %s}}\n' % (
            canonical(item.admitted_at), item.replacements, item.text,
        )  # fmt: skip
    for left in state.left:
        yield line("record", {"id": left.id, "status": left.status, "reason": left.reason, "at": left.at})
    for name in sorted(state.parts):
        yield line("part", {"name": name, "value": state.parts[name]})


def _uncompressed(content: bytes) -> bytes:
    if not content.startswith(_GZIP):
        return content
    stream = zlib.decompressobj(wbits=31)
    try:
        text = stream.decompress(content, MAX_BYTES + 1)
    except zlib.error:
        raise BadState("The state file is damaged: it cannot be uncompressed.") from None
    if len(text) > MAX_BYTES:
        raise BadState(TOO_LARGE)
    if not stream.eof:
        raise BadState("The state file is cut off: its compressed data does not end.")
    if stream.unused_data:
        raise BadState("The state file is damaged: something follows its compressed data.")
    return text


def _check_head(line: bytes) -> None:
    try:
        head = json.loads(line[:1000])
        is_state = head["format"] == FORMAT and type(head["version"]) is int
    except (ValueError, TypeError, KeyError, RecursionError):
        is_state = False
    if not is_state:
        raise BadState("This is not a state file of Quarry.")
    if head["version"] != VERSION:
        raise BadState(f"The state file has version {head['version']}; this release reads version {VERSION}.")
    if line != canonical({"format": FORMAT, "version": VERSION}) + b"\n":
        raise BadState("The state file is damaged: its first line is not as Quarry writes it.")


class _Reader:
    """The lines between the first and the last."""

    def __init__(self, body: bytes) -> None:
        self._lines = body.split(b"\n")[1:-1]
        self._number = 1

    def read(self) -> State:
        spec: ChainSpec | None = None
        phrase: str | None = None
        blocks: list[bytes] = []
        stale: list[StaleBlock] = []
        waiting: list[WaitingTransaction] = []
        left: list[LeftTransaction] = []
        parts: dict[str, Any] = {}
        rank = 0
        for line in self._lines:
            self._number += 1
            # A block is parsed when it is judged.
            name: str
            value: Any
            name, value = ("block", None) if line.startswith(_BLOCK) else self._parsed(line)
            place = _ORDER.index(name)
            # Spec and phrase, which come first, are there once.
            self._require(place == self._number - 2 if self._number <= 3 else place >= max(rank, 2))
            rank = place
            if name == "spec":
                spec = self._spec(value)
            elif name == "phrase":
                self._require(isinstance(value, str) and len(value) <= _MAX_TEXT)
                phrase = value
            elif name == "block":
                blocks.append(line[len(_BLOCK) : -1])
            elif name == "stale":
                stale.append(self._stale(value))
            elif name == "waiting":
                waiting.append(self._waiting(value))
            elif name == "record":
                left.append(self._left(value))
            else:
                self._require(_has(value, "name", "value") and _is_text(value["name"], _PART))
                self._require(value["name"] not in parts)
                parts[value["name"]] = value["value"]
        if spec is None or phrase is None:
            raise BadState("The state file lacks its chain spec or its phrase.")
        return State(spec, phrase, blocks, stale, waiting, left, parts)

    def _parsed(self, line: bytes) -> tuple[str, Any]:
        name, item = wire.parse_member(line) or ("", None)
        self._require(name in _ORDER)
        return name, item

    def _spec(self, value: Any) -> ChainSpec:
        self._require(isinstance(value, dict))
        try:
            return spec_from_object(value)
        except BadChainSpec as error:
            raise BadState(f"The chain spec of the state file cannot be used: {error}") from None

    def _stale(self, value: Any) -> StaleBlock:
        self._require(_has(value, "block", "staged_at") and isinstance(value["block"], dict))
        at = value["staged_at"]
        self._require(at is None or _is_time(at))
        return StaleBlock(canonical(value["block"]), at)

    def _waiting(self, value: Any) -> WaitingTransaction:
        self._require(_has(value, "admitted_at", "replacements", "transaction"))
        self._require(isinstance(value["transaction"], dict) and _is_time(value["admitted_at"]))
        self._require(type(value["replacements"]) is int and 0 <= value["replacements"] <= 1000)
        return WaitingTransaction(
            canonical(value["transaction"]), float(value["admitted_at"]), int(value["replacements"])
        )

    def _left(self, value: Any) -> LeftTransaction:
        self._require(_has(value, "id", "status", "reason", "at") and is_hash(value["id"]))
        self._require(_is_text(value["status"], _STATUS) and _is_time(value["at"]))
        self._require(isinstance(value["reason"], str) and len(value["reason"]) <= _MAX_TEXT)
        return LeftTransaction(value["id"], value["status"], value["reason"], value["at"])

    def _require(self, condition: bool) -> None:
        if not condition:
            raise BadState(f"Line {self._number} of the state file is not one that Quarry writes there.")


def _has(value: Any, *names: str) -> bool:
    return isinstance(value, dict) and value.keys() == set(names)


def _is_text(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 10**12
